/** Sets of small numbers as bits, 32 at a time: what makes a million questions a few thousand steps. */

export class Bits {
  readonly words: Uint32Array;

  constructor(words: Uint32Array) {
    this.words = words;
  }

  static none(size: number): Bits {
    return new Bits(new Uint32Array((size + 31) >>> 5));
  }

  static all(size: number): Bits {
    const bits = Bits.none(size);
    bits.words.fill(0xffffffff);
    if ((size & 31) !== 0) bits.words[bits.words.length - 1] = 2 ** (size & 31) - 1;
    return bits;
  }

  static where(size: number, holds: (i: number) => boolean): Bits {
    const bits = Bits.none(size);
    for (let i = 0; i < size; i++) if (holds(i)) bits.add(i);
    return bits;
  }

  copy(): Bits {
    return new Bits(this.words.slice());
  }

  add(i: number): void {
    this.words[i >>> 5]! |= 1 << (i & 31);
  }

  has(i: number): boolean {
    return ((this.words[i >>> 5]! >>> (i & 31)) & 1) === 1;
  }

  get empty(): boolean {
    return this.words.every(word => word === 0);
  }

  and(other: Bits): this {
    for (let w = 0; w < this.words.length; w++) this.words[w]! &= other.words[w]!;
    return this;
  }

  or(other: Bits): this {
    for (let w = 0; w < this.words.length; w++) this.words[w]! |= other.words[w]!;
    return this;
  }

  remove(other: Bits): this {
    for (let w = 0; w < this.words.length; w++) this.words[w]! &= ~other.words[w]!;
    return this;
  }

  forEach(visit: (i: number) => void): void {
    for (let w = 0; w < this.words.length; w++) {
      for (let word = this.words[w]!; word !== 0; word &= word - 1)
        visit((w << 5) + 31 - Math.clz32(word & -word));
    }
  }
}
