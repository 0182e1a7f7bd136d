/**
 * Packet mark bits, taken lowest first from the configured mask as Calico does (calico.md 3.3), so that a mask
 * chosen to keep clear of other software's marks keeps us clear too.
 */

export interface MarkBits {
  /** A policy or profile allowed the packet. */
  readonly accept: number;
  /** A policy passed it on to the next tier. */
  readonly pass: number;
  /** A rule denied the packet; what follows says so in the flow log and drops it. */
  readonly drop: number;
  /** Scratch bits for rules that need more than one iptables rule. */
  readonly scratch0: number;
  readonly scratch1: number;
  readonly all: number;
}

/** @throws RangeError when the mask has fewer than five bits */
export function allocateMarks(mask: number): MarkBits {
  const bits: number[] = [];
  for (let i = 0; i < 32; i++) {
    const bit = 2 ** i;
    if (Math.floor(mask / bit) % 2 === 1) bits.push(bit);
  }
  const [accept, pass, drop, scratch0, scratch1] = bits;
  if (scratch1 === undefined)
    throw new RangeError(`the mark mask 0x${mask.toString(16)} has fewer than 5 bits`);
  const used = [accept, pass, drop, scratch0, scratch1] as number[];
  return {
    accept: accept as number,
    pass: pass as number,
    drop: drop as number,
    scratch0: scratch0 as number,
    scratch1,
    all: used.reduce((sum, bit) => sum + bit, 0),
  };
}
