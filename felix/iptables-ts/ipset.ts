/**
 * The ipsets of one IP version, kept as they should be. A set's owner is in its name: what begins with the prefix is
 * ours, nothing else is ever touched.
 *
 * Updates and deletions are two steps, because rules stand between them: sets are filled before rules use them
 * (applyUpdates, then the rules, then applyDeletions), and the kernel refuses to destroy a set that a rule names.
 *
 * What each set needs is in ipset-delta.ts; here is when the kernel is read, and what is done about commands it refuses. A
 * commit costs O(changes), a resync O(members). A set of another type cannot be swapped, it has to go first: applyUpdates
 * throws IpSetError `in-use` while rules use it.
 */

import { IpSetError } from "./errors.ts";
import type { IpSetBackend } from "./ipset-backend.ts";
import { SetDelta, sameParams } from "./ipset-delta.ts";
import type { Params } from "./ipset-parse.ts";
import { checkSet } from "./match.ts";
import { canonicalMember } from "./member.ts";

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

interface Plan {
  readonly commands: string[];
  readonly updated: string[];
  /** The set that a line, 1-based, was for. */
  ownerOf(line: number): string | undefined;
}

const SET_NAME_MAX = 31;

/** Calico's rule: prefix and id, cut to what the kernel takes. */
export const ipSetName = (prefix: string, id: string) => (prefix + id).slice(0, SET_NAME_MAX);

export class IpSets {
  readonly ipVersion: 4 | 6;
  readonly #backend: IpSetBackend;
  readonly #prefix: string;
  readonly #tempPrefix: string;
  readonly #attempts: number;
  readonly #sleep: (ms: number) => Promise<void>;

  readonly #sets = new Map<string, SetDelta>();
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
      if (old.setMembers(wanted)) this.#dirty.add(name);
      return;
    }
    if (!old && this.#doomed.delete(name)) this.#stale = true; // it is in the kernel, with members unknown
    this.#sets.set(name, new SetDelta(params, this.ipVersion, wanted, old));
    this.#dirty.add(name);
  }

  /** Throws InvalidMemberError; members before the bad one are added. */
  addMembers(name: string, members: Iterable<string>): void {
    const set = this.#get(name);
    for (const member of members)
      if (set.add(this.#canonical(set.params.type, member))) this.#dirty.add(name);
  }

  removeMembers(name: string, members: Iterable<string>): void {
    const set = this.#get(name);
    for (const member of members)
      if (set.remove(this.#canonical(set.params.type, member))) this.#dirty.add(name);
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
    const temporaryName = () => `${this.#tempPrefix}${this.#tempNumber++}`;
    this.#dirty.clear();
    for (const name of updated) {
      this.#sets.get(name)!.plan(name, temporaryName, commands);
      ends.push(commands.length);
    }
    return { commands, updated, ownerOf: line => updated[ends.findIndex(end => line <= end)] };
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
    for (const [name, set] of this.#sets) {
      if (set.compare(kernel.get(name))) this.#dirty.add(name);
      else this.#dirty.delete(name);
    }
    // Left by a run that was killed; nothing refers to a temporary set, unless somebody else does: then leave it.
    for (const stray of strays) {
      this.#tempNumber = Math.max(this.#tempNumber, Number(stray.slice(this.#tempPrefix.length)) + 1 || 0);
      await this.#backend.restore([`destroy ${stray}`]).catch(() => {});
    }
  }

  #canonical(type: string, member: string): string {
    return canonicalMember(type, this.ipVersion, member);
  }

  #isOurs(name: string): boolean {
    return name.startsWith(this.#prefix) || name.startsWith(this.#tempPrefix);
  }

  #checkOwn(name: string): void {
    if (!name.startsWith(this.#prefix))
      throw new RangeError(`set ${name}: a name beginning with ${this.#prefix} was expected`);
  }

  #get(name: string): SetDelta {
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
