/**
 * The ipsets of one IP version, kept as they should be. A set's owner is in its name: what begins with the prefix is
 * ours, nothing else is ever touched.
 *
 * Updates and deletions are two steps, because rules stand between them: sets are filled before rules use them
 * (applyUpdates, then the rules, then applyDeletions), and the kernel refuses to destroy a set that a rule names.
 *
 * The kernel's members are not kept a second time: per set there is what is wanted, and what to add and to delete to get
 * there from what the kernel has. Memory is one copy, a commit costs O(changes), a resync O(members).
 *
 * A set is rewritten through a temporary one and a swap, so it never shows a state between, when its parameters are wrong, or
 * when more changes than stays, or when readers would notice a deletion (prefix-lengths.ts). One of another type has to go first: applyUpdates throws IpSetError `in-use` while rules use it. Otherwise additions go before deletions, so that replacing a
 * network by its halves leaves no gap; each element is either old or new at any time.
 */

import { IpSetError } from "./errors.ts";
import type { IpSetBackend } from "./ipset-backend.ts";
import type { KernelSet, Params } from "./ipset-parse.ts";
import { checkSet } from "./match.ts";
import { elementsOf } from "./member.ts";
import { losesPrefixLength } from "./prefix-lengths.ts";

export interface IpSetSpec {
  /** "hash:net", "hash:ip", "hash:ip,port", "hash:net,net", ... */
  readonly type: `hash:${string}`;
  /** Default 65536. */
  readonly maxElements?: number;
}

export interface IpSetsOptions {
  readonly backend: IpSetBackend;
  readonly ipVersion: 4 | 6;
  /** Sets with this beginning are ours: "cali40". */
  readonly prefix: string;
  /** Temporary sets: this and a number; must not begin with `prefix`. "cali4t". */
  readonly tempPrefix: string;
  /** How often to try before giving up. Default 5. */
  readonly attempts?: number;
  readonly sleep?: (ms: number) => Promise<void>;
}

interface SetState {
  readonly params: Params;
  /** As given by the caller, spelled canonically; may contain a prefix of length 0. */
  members: Set<string>;
  /** What the kernel has under this name; undefined: nothing. */
  kernel: Params | undefined;
  /** Elements in the kernel, for telling when additions would overflow. */
  kernelSize: number;
  adds: Set<string>;
  dels: Set<string>;
}

interface Plan {
  readonly commands: string[];
  readonly updated: string[];
  /** The set that a line, 1-based, was for. */
  ownerOf(line: number): string | undefined;
}

const SET_NAME_MAX = 31;
/** More changes than members, and this many on top: a rewrite costs less than its deltas. */
const REWRITE_SLACK = 16;

/** Calico's rule: prefix and id, cut to what the kernel takes. */
export const ipSetName = (prefix: string, id: string) => (prefix + id).slice(0, SET_NAME_MAX);

export class IpSets {
  readonly ipVersion: 4 | 6;
  readonly #backend: IpSetBackend;
  readonly #prefix: string;
  readonly #tempPrefix: string;
  readonly #attempts: number;
  readonly #sleep: (ms: number) => Promise<void>;

  readonly #sets = new Map<string, SetState>();
  readonly #dirty = new Set<string>();
  /** In the kernel, ours, not wanted. */
  readonly #doomed = new Set<string>();
  #stale = true;
  #tempNumber = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: IpSetsOptions) {
    this.ipVersion = options.ipVersion;
    this.#backend = options.backend;
    this.#prefix = options.prefix;
    this.#tempPrefix = options.tempPrefix;
    if (this.#tempPrefix.startsWith(this.#prefix))
      throw new RangeError("temporary sets would look like sets of ours");
    this.#attempts = options.attempts ?? 5;
    this.#sleep = options.sleep ?? (ms => new Promise(resolve => setTimeout(resolve, ms)));
  }

  /** The full name of the set with this id. */
  nameOf(id: string): string {
    return ipSetName(this.#prefix, id);
  }

  /** Defines a set, or replaces its members. Throws InvalidMemberError, changing nothing. */
  setMembers(name: string, spec: IpSetSpec, members: Iterable<string>): void {
    this.#checkOwn(checkSet(name));
    const params: Params = { type: spec.type, maxElements: spec.maxElements ?? 65536 };
    const wanted = new Set<string>();
    for (const member of members) wanted.add(this.#canonical(params.type, member));
    const old = this.#sets.get(name);
    if (old && sameParams(old.params, params)) {
      for (const member of old.members) if (!wanted.has(member)) this.#remove(name, old, member);
      for (const member of wanted) this.#add(name, old, member);
      return;
    }
    const set: SetState = {
      params,
      members: wanted,
      kernel: old?.kernel,
      kernelSize: old?.kernelSize ?? 0,
      adds: new Set(),
      dels: new Set(),
    };
    if (!old && this.#doomed.delete(name)) this.#stale = true; // it is in the kernel, with members unknown
    this.#sets.set(name, set);
    this.#dirty.add(name);
  }

  /** Throws InvalidMemberError; members before the bad one are added. */
  addMembers(name: string, members: Iterable<string>): void {
    const set = this.#get(name);
    for (const member of members) this.#add(name, set, this.#canonical(set.params.type, member));
  }

  removeMembers(name: string, members: Iterable<string>): void {
    const set = this.#get(name);
    for (const member of members) this.#remove(name, set, this.#canonical(set.params.type, member));
  }

  /** The set goes away with the next applyDeletions. */
  removeSet(name: string): void {
    const set = this.#sets.get(name);
    if (!set) return;
    this.#sets.delete(name);
    this.#dirty.delete(name);
    this.#doomed.add(name);
  }

  has(name: string): boolean {
    return this.#sets.has(name);
  }

  names(): IterableIterator<string> {
    return this.#sets.keys();
  }

  /** What a set should contain; a default route is one member here. */
  members(name: string): ReadonlySet<string> {
    return this.#get(name).members;
  }

  get needsUpdate(): boolean {
    return this.#stale || this.#dirty.size > 0;
  }

  get needsDeletion(): boolean {
    return this.#doomed.size > 0;
  }

  /** Forgets what the kernel contains: the next applyUpdates reads it and sends only what differs. */
  invalidate(): void {
    this.#stale = true;
  }

  /** Creates and fills sets. Nothing is destroyed. Resolves when the kernel has it all. Throws IpSetError. */
  applyUpdates(): Promise<{ readonly updated: readonly string[]; readonly attempts: number }> {
    return this.#exclusive(() => this.#applyUpdates());
  }

  /**
   * Destroys the sets that are not wanted any more. One that rules still use stays and is tried again next time;
   * it is returned in `busy`.
   */
  applyDeletions(): Promise<{ readonly destroyed: readonly string[]; readonly busy: readonly string[] }> {
    return this.#exclusive(() => this.#applyDeletions());
  }

  /** Reads the kernel and returns the sets that are not as they should be. applyUpdates repairs them. */
  check(): Promise<string[]> {
    return this.#exclusive(async () => {
      this.#stale = true;
      await this.#read();
      return [...this.#dirty];
    });
  }

  /**
   * A set that is refused twice in a row, each time planned from a fresh reading, is put aside, so that one set which is
   * too full holds up no other; its error is thrown when the others are done.
   */
  async #applyUpdates(): Promise<{ updated: string[]; attempts: number }> {
    if (!this.needsUpdate) return { updated: [], attempts: 0 };
    const aside = new Map<string, IpSetError>();
    let failures = 0;
    let lastCulprit: string | undefined;
    for (let attempt = 1; ; attempt++) {
      let plan: Plan | undefined;
      try {
        await this.#read();
        plan = this.#plan(aside);
        if (plan.commands.length > 0) await this.#backend.restore(plan.commands);
      } catch (error) {
        // Commands before the refused one are in force: only reading tells what there is now.
        this.#stale = true;
        if (!(error instanceof IpSetError)) throw error;
        const culprit = error.line === undefined ? undefined : plan?.ownerOf(error.line);
        if (culprit !== undefined && culprit === lastCulprit) {
          aside.set(culprit, error);
          lastCulprit = undefined;
          failures = 0;
          continue;
        }
        lastCulprit = culprit;
        if (++failures >= this.#attempts) throw error;
        await this.#sleep(2 ** (failures - 1));
        continue;
      }
      for (const error of aside.values()) {
        this.#stale = true;
        throw error;
      }
      return { updated: plan.updated, attempts: attempt };
    }
  }

  /** Commands for all dirty sets; assumes that they will succeed, else the caller marks everything stale. */
  #plan(aside: ReadonlyMap<string, unknown>): Plan {
    const commands: string[] = [];
    const updated = [...this.#dirty].filter(name => !aside.has(name));
    const ends: number[] = [];
    this.#dirty.clear();
    for (const name of updated) {
      const set = this.#sets.get(name)!;
      const { adds, dels, params } = set;
      if (!set.kernel || set.kernel.type !== params.type) {
        // The kernel swaps only sets of one type; one that a rule uses, it does not destroy either (in-use).
        if (set.kernel) commands.push(`destroy ${name}`);
        commands.push(this.#create(name, params));
        this.#fill(name, set, commands);
      } else if (
        !sameParams(set.kernel, params) ||
        adds.size + dels.size > set.members.size + REWRITE_SLACK ||
        (dels.size > 0 && losesPrefixLength(params.type, this.ipVersion, set.members, dels))
      ) {
        const temp = `${this.#tempPrefix}${this.#tempNumber++}`;
        commands.push(this.#create(temp, params));
        this.#fill(temp, set, commands);
        commands.push(`swap ${temp} ${name}`, `destroy ${temp}`);
      } else {
        const addLines = [...adds].map(e => `add ${name} ${e}`);
        const delLines = [...dels].map(e => `del ${name} ${e}`);
        const fits = set.kernelSize + adds.size <= params.maxElements;
        for (const line of fits ? addLines : delLines) commands.push(line);
        for (const line of fits ? delLines : addLines) commands.push(line);
        set.kernelSize += adds.size - dels.size;
      }
      set.kernel = params;
      set.adds = new Set();
      set.dels = new Set();
      ends.push(commands.length);
    }
    return { commands, updated, ownerOf: line => updated[ends.findIndex(end => line <= end)] };
  }

  #fill(name: string, set: SetState, commands: string[]): void {
    const before = commands.length;
    const sent = new Set<string>();
    for (const member of set.members) {
      for (const element of this.#elements(set, member)) {
        if (sent.has(element)) continue;
        // Only a default route's halves can be somebody else's element too.
        if (element.includes("/1")) sent.add(element);
        commands.push(`add ${name} ${element}`);
      }
    }
    set.kernelSize = commands.length - before;
  }

  /** Members are spelled as the kernel does: only a prefix of length 0 is more than one element. */
  #elements(set: SetState, member: string): readonly string[] {
    return member.includes("/0") ? elementsOf(set.params.type, this.ipVersion, member) : [member];
  }

  #create(name: string, { type, maxElements }: Params): string {
    const family = type === "hash:mac" ? "" : ` family ${this.ipVersion === 4 ? "inet" : "inet6"}`;
    return `create ${name} ${type}${family} maxelem ${maxElements}`;
  }

  async #applyDeletions(): Promise<{ destroyed: string[]; busy: string[] }> {
    const queue = [...this.#doomed];
    const destroyed: string[] = [];
    const busy: string[] = [];
    while (queue.length > 0) {
      let done = queue.length;
      try {
        await this.#backend.restore(queue.map(name => `destroy ${name}`));
      } catch (error) {
        if (!(error instanceof IpSetError) || error.line === undefined) throw error;
        done = error.line - 1;
        busy.push(queue[done]!);
      }
      for (const name of queue.splice(0, done)) {
        destroyed.push(name);
        this.#doomed.delete(name);
      }
      queue.shift();
    }
    return { destroyed, busy };
  }

  async #read(): Promise<void> {
    if (!this.#stale) return;
    const kernel = await this.#backend.read(name => this.#isOurs(name));
    this.#stale = false;
    this.#doomed.clear();
    const strays: string[] = [];
    for (const name of kernel.keys()) {
      if (name.startsWith(this.#tempPrefix)) strays.push(name);
      else if (!this.#sets.has(name)) this.#doomed.add(name);
    }
    for (const [name, set] of this.#sets) this.#compare(name, set, kernel.get(name));
    // Left by a run that was killed; nothing refers to a temporary set, unless somebody else does: then leave it.
    for (const stray of strays) {
      this.#tempNumber = Math.max(this.#tempNumber, Number(stray.slice(this.#tempPrefix.length)) + 1 || 0);
      await this.#backend.restore([`destroy ${stray}`]).catch(() => {});
    }
  }

  #compare(name: string, set: SetState, kernel: KernelSet | undefined): void {
    set.kernel = kernel;
    set.kernelSize = kernel?.elements.size ?? 0;
    set.adds = new Set();
    set.dels = new Set();
    if (kernel && sameParams(kernel, set.params)) {
      const surplus = kernel.elements;
      const present = new Set<string>();
      for (const member of set.members)
        for (const element of this.#elements(set, member)) {
          if (surplus.delete(element)) present.add(element);
          else if (!present.has(element)) set.adds.add(element);
        }
      set.dels = surplus;
      if (set.adds.size + set.dels.size === 0) {
        this.#dirty.delete(name);
        return;
      }
    }
    this.#dirty.add(name);
  }

  #add(name: string, set: SetState, member: string): void {
    if (set.members.has(member)) return;
    const elements = elementsOf(set.params.type, this.ipVersion, member);
    const missing = elements.filter(e => !this.#covers(set, e));
    set.members.add(member);
    for (const element of missing) if (!set.dels.delete(element)) set.adds.add(element);
    if (missing.length > 0) this.#dirty.add(name);
  }

  #remove(name: string, set: SetState, member: string): void {
    if (!set.members.delete(member)) return;
    for (const element of elementsOf(set.params.type, this.ipVersion, member)) {
      if (this.#covers(set, element)) continue;
      if (!set.adds.delete(element)) set.dels.add(element);
      this.#dirty.add(name);
    }
  }

  /** A half of everything may be there on its own account, or as half of a default route. */
  #covers(set: SetState, element: string): boolean {
    if (set.members.has(element)) return true;
    if (!element.includes("/1")) return false;
    const parts = element.split(",");
    for (let bits = 1; bits < 1 << parts.length; bits++) {
      const wider = parts.map((p, i) => (bits & (1 << i) && p.endsWith("/1") ? this.#everything() : p));
      if (set.members.has(wider.join(","))) return true;
    }
    return false;
  }

  #everything(): string {
    return this.ipVersion === 4 ? "0.0.0.0/0" : "::/0";
  }

  #canonical(type: string, member: string): string {
    const elements = elementsOf(type, this.ipVersion, member);
    if (elements.length === 1) return elements[0]!;
    // Only a part of length 0 has two elements: spell that part as itself, the others as the kernel does.
    const first = elements[0]!.split(",");
    return member
      .split(",")
      .map((part, i) => (part.endsWith("/0") ? this.#everything() : first[i]))
      .join(",");
  }

  #isOurs(name: string): boolean {
    return name.startsWith(this.#prefix) || name.startsWith(this.#tempPrefix);
  }

  #checkOwn(name: string): void {
    if (!name.startsWith(this.#prefix))
      throw new RangeError(`set ${name}: a name beginning with ${this.#prefix} was expected`);
  }

  #get(name: string): SetState {
    const set = this.#sets.get(name);
    if (!set) throw new RangeError(`set ${name} is not defined`);
    return set;
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}

const sameParams = (a: Params, b: Params) => a.type === b.type && a.maxElements === b.maxElements;
