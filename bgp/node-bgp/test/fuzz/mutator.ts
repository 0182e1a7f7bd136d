/**
 * Random UPDATE bodies that are nearly right: sound and malformed ones from a corpus, changed a little. Plain random bytes die at the first
 * length field; these get through to the attributes. The same seed gives the same inputs.
 */

/** xorshift32: fast, and the same everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** In [0, limit). */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % limit;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Lengths at the edge, flags, and attribute types: bytes that mean something somewhere in an UPDATE. */
const TELLING = [
  0, 1, 2, 3, 4, 5, 7, 8, 14, 15, 16, 17, 24, 32, 33, 64, 128, 129, 0x40, 0x50, 0x80, 0xc0, 0xe0, 255,
];
const LONGEST = 4096 - 19;

export class Mutator {
  readonly #random: Random;
  readonly #corpus: readonly Uint8Array[];

  constructor(random: Random, corpus: readonly Uint8Array[]) {
    this.#random = random;
    this.#corpus = corpus;
  }

  next(): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    // Now and then nothing of the corpus.
    if (random.below(32) === 0) return random.bytes(random.below(80));
    let body = new Uint8Array(this.#pick());
    for (let left = random.below(4); left > 0; left--) body = this.#change(body);
    if (random.below(2) === 0) mendLengths(body, random);
    return body.subarray(0, LONGEST);
  }

  #pick(): Uint8Array {
    return this.#corpus[this.#random.below(this.#corpus.length)]!;
  }

  #change(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    const at = random.below(body.length + 1);
    switch (random.below(7)) {
      case 0:
        if (at < body.length) body[at] = body[at]! ^ (1 << random.below(8));
        return body;
      case 1:
        if (at < body.length) body[at] = TELLING[random.below(TELLING.length)]!;
        return body;
      case 2:
        if (at < body.length) body[at] = random.below(256);
        return body;
      case 3:
        return joined(body.subarray(0, at), random.bytes(1 + random.below(6)), body.subarray(at));
      case 4:
        return joined(body.subarray(0, at), body.subarray(at + 1 + random.below(6)));
      case 5: {
        const end = Math.min(body.length, at + 1 + random.below(24));
        return joined(body.subarray(0, end), body.subarray(at));
      }
      default: {
        const other = this.#pick();
        return joined(body.subarray(0, at), other.subarray(random.below(other.length + 1)));
      }
    }
  }
}

/** Makes the two outer lengths fit the body, so that what they enclose is looked at. */
function mendLengths(body: Uint8Array, random: Random): void {
  if (body.length < 4) return;
  const withdrawn = Math.min((body[0]! << 8) | body[1]!, body.length - 4);
  body[0] = withdrawn >> 8;
  body[1] = withdrawn & 0xff;
  const room = body.length - 4 - withdrawn;
  const told = (body[2 + withdrawn]! << 8) | body[3 + withdrawn]!;
  const attributes = told <= room ? told : room - Math.min(room, random.below(5));
  body[2 + withdrawn] = attributes >> 8;
  body[3 + withdrawn] = attributes & 0xff;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}
