/**
 * One ipset: the members it should have, and what to add and to delete to get there from what the kernel has. Pure: it is told
 * what the kernel has, and gives the commands (ipset.ts reads and sends).
 *
 * The kernel's members are not kept a second time, only the difference. Memory is one copy, a change costs what it
 * touches, a comparison O(members).
 *
 * A set is rewritten through a temporary one and a swap, so it never shows a state between, when its parameters are wrong, or
 * when more changes than stays, or when readers would notice a deletion (prefix-lengths.ts). One of another type has to go
 * first, which the kernel refuses while rules use it. Otherwise additions go before deletions, so that replacing a
 * network by its halves leaves no gap; each element is either old or new at any time.
 */

import type { KernelSet, Params } from "./ipset-parse.ts";
import { elementsOf, everything } from "./member.ts";
import { losesPrefixLength } from "./prefix-lengths.ts";

/** More changes than members, and this many on top: a rewrite costs less than its deltas. */
const REWRITE_SLACK = 16;

export class SetDelta {
  readonly params: Params;
  readonly #ipVersion: 4 | 6;
  /** As given by the caller, spelled canonically; may contain a prefix of length 0. */
  readonly #members: Set<string>;
  /** What the kernel has under this name; undefined: nothing. */
  #kernel: Params | undefined;
  /** Elements in the kernel, for telling when additions would overflow. */
  #kernelSize = 0;
  #adds = new Set<string>();
  #dels = new Set<string>();

  /** `former`: the set that this one takes the place of, with other parameters. `members` are taken over. */
  constructor(params: Params, ipVersion: 4 | 6, members: Set<string>, former: SetDelta | undefined) {
    this.params = params;
    this.#ipVersion = ipVersion;
    this.#members = members;
    if (!former) return;
    this.#kernel = former.#kernel;
    this.#kernelSize = former.#kernelSize;
  }

  get members(): ReadonlySet<string> {
    return this.#members;
  }

  // Members are spelled canonically. Each returns whether there is something to send.

  setMembers(wanted: ReadonlySet<string>): boolean {
    let changed = false;
    for (const member of this.#members) if (!wanted.has(member) && this.remove(member)) changed = true;
    for (const member of wanted) if (this.add(member)) changed = true;
    return changed;
  }

  add(member: string): boolean {
    if (this.#members.has(member)) return false;
    const missing = this.#elements(member).filter(element => !this.#covers(element));
    this.#members.add(member);
    for (const element of missing) if (!this.#dels.delete(element)) this.#adds.add(element);
    return missing.length > 0;
  }

  remove(member: string): boolean {
    if (!this.#members.delete(member)) return false;
    const surplus = this.#elements(member).filter(element => !this.#covers(element));
    for (const element of surplus) if (!this.#adds.delete(element)) this.#dels.add(element);
    return surplus.length > 0;
  }

  /** Takes over what the kernel has (its `elements` are used up); returns whether it is something else than what is wanted. */
  compare(kernel: KernelSet | undefined): boolean {
    this.#kernel = kernel;
    this.#kernelSize = kernel?.elements.size ?? 0;
    this.#adds = new Set();
    this.#dels = new Set();
    if (!kernel || !sameParams(kernel, this.params)) return true;
    const surplus = kernel.elements;
    const present = new Set<string>();
    for (const member of this.#members)
      for (const element of this.#elements(member)) {
        if (surplus.delete(element)) present.add(element);
        else if (!present.has(element)) this.#adds.add(element);
      }
    this.#dels = surplus;
    return this.#adds.size + this.#dels.size > 0;
  }

  /**
   * Appends the commands that bring the kernel's set there, and assumes that they will succeed: where they do not, {@link compare}
   * anew.
   */
  plan(name: string, temporaryName: () => string, commands: string[]): void {
    const adds = this.#adds;
    const dels = this.#dels;
    const { params } = this;
    if (!this.#kernel || this.#kernel.type !== params.type) {
      // The kernel swaps only sets of one type; one that a rule uses, it does not destroy either (in-use).
      if (this.#kernel) commands.push(`destroy ${name}`);
      this.#write(name, commands);
    } else if (
      !sameParams(this.#kernel, params) ||
      adds.size + dels.size > this.#members.size + REWRITE_SLACK ||
      (dels.size > 0 && losesPrefixLength(params.type, this.#ipVersion, this.#members, dels))
    ) {
      const temp = temporaryName();
      this.#write(temp, commands);
      commands.push(`swap ${temp} ${name}`, `destroy ${temp}`);
    } else {
      const addLines = [...adds].map(e => `add ${name} ${e}`);
      const delLines = [...dels].map(e => `del ${name} ${e}`);
      const fits = this.#kernelSize + adds.size <= params.maxElements;
      for (const line of fits ? addLines : delLines) commands.push(line);
      for (const line of fits ? delLines : addLines) commands.push(line);
      this.#kernelSize += adds.size - dels.size;
    }
    this.#kernel = params;
    this.#adds = new Set();
    this.#dels = new Set();
  }

  /** The whole set, under this name. */
  #write(name: string, commands: string[]): void {
    const { type, maxElements } = this.params;
    const family = type === "hash:mac" ? "" : ` family ${this.#ipVersion === 4 ? "inet" : "inet6"}`;
    commands.push(`create ${name} ${type}${family} maxelem ${maxElements}`);
    const before = commands.length;
    const sent = new Set<string>();
    for (const member of this.#members) {
      for (const element of this.#elements(member)) {
        if (sent.has(element)) continue;
        // Only a default route's halves can be somebody else's element too.
        if (element.includes("/1")) sent.add(element);
        commands.push(`add ${name} ${element}`);
      }
    }
    this.#kernelSize = commands.length - before;
  }

  /** Members are spelled as the kernel does: only a prefix of length 0 is more than one element. */
  #elements(member: string): readonly string[] {
    return member.includes("/0") ? elementsOf(this.params.type, this.#ipVersion, member) : [member];
  }

  /** A half of everything may be there on its own account, or as half of a default route. */
  #covers(element: string): boolean {
    if (this.#members.has(element)) return true;
    if (!element.includes("/1")) return false;
    const parts = element.split(",");
    for (let bits = 1; bits < 1 << parts.length; bits++) {
      const wider = parts.map((p, i) =>
        bits & (1 << i) && p.endsWith("/1") ? everything(this.#ipVersion) : p,
      );
      if (this.#members.has(wider.join(","))) return true;
    }
    return false;
  }
}

export function sameParams(a: Params, b: Params): boolean {
  return a.type === b.type && a.maxElements === b.maxElements;
}
