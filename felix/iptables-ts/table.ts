/**
 * One table of one IP version: what it should contain, what the kernel is known to contain, and the shortest restore
 * section that leads from one to the other. Pure: no process is started here (iptables.ts does that).
 *
 * Invariants
 * - Only chains whose name begins with the prefix, and rules whose comment carries the hash prefix, are ever
 *   changed or removed.
 * - A chain is in the kernel only while something reaches it from a hook (unless `onlyReferenced` is off), so
 *   callers may define every chain they know of.
 * - `dirty` names every chain whose state might differ; planning costs O(dirty), not O(table).
 * - A plan is a snapshot: changes made while it is on its way to the kernel are simply dirty again.
 */

import { InvalidRuleError, IptablesError } from "./errors.ts";
import { chainHashes, hashReader } from "./hash.ts";
import { InPlaceEdits } from "./in-place-edits.ts";
import { LiveChains } from "./live-chains.ts";
import { checkChain } from "./match.ts";
import type { ParsedTable, TableName } from "./parse.ts";
import { splitWords } from "./quote.ts";
import { appendRule, declareChain, withHash } from "./render.ts";
import type { Rule } from "./rule.ts";

export interface TableOptions {
  readonly name: TableName;
  /** Chains with this beginning are ours: "cali-". */
  readonly chainPrefix: string;
  /** Rules with a comment of this and 16 characters are ours: "cali:". */
  readonly hashPrefix: string;
  /** Program only chains that are reachable from a hook. Default true. */
  readonly onlyReferenced?: boolean;
  /**
   * Names that chains of ours had in former times, by their beginnings. Such chains are removed, and so is every rule,
   * with our hash or without, by which somebody else's chain leads to them or to chains of ours. Default none.
   */
  readonly formerPrefixes?: readonly string[];
}

/** Changes to send, and what to remember once the kernel has taken them. */
export interface TablePlan {
  readonly lines: readonly string[];
  readonly written: readonly string[];
  readonly removed: readonly string[];
  commit(): void;
}

interface OwnChain {
  readonly rules: readonly Rule[];
  /** Own chains these rules lead to, each once. */
  readonly references: readonly string[];
  /** Hashed when first planned: a chain that nothing references costs no hashing. */
  hashes?: readonly string[];
}

interface Hook {
  insertions: readonly Rule[];
  appends: readonly Rule[];
}

/** A rule in somebody else's chain; hash "" when it is not ours, {@link FORMER} when it leads to what was ours. */
interface HookEntry {
  readonly hash: string;
  readonly text: string;
}

const FORMER = "former";

export class Table {
  readonly name: TableName;
  readonly #chainPrefix: string;
  readonly #hashPrefix: string;
  readonly #onlyReferenced: boolean;
  readonly #formerPrefixes: readonly string[];
  readonly #hashOf: (rule: string) => string;

  readonly #chains = new Map<string, OwnChain>();
  readonly #hooks = new Map<string, Hook>();
  readonly #live = new LiveChains(
    name => this.#chains.get(name)?.references ?? [],
    name => void this.#dirty.add(name),
  );

  readonly #kernelChains = new Map<string, readonly string[]>();
  readonly #kernelHooks = new Map<string, readonly HookEntry[]>();
  /** Our chains that somebody else's rules lead to: they can be emptied but not deleted. */
  readonly #pinnedByOthers = new Set<string>();
  readonly #edits = new InPlaceEdits();
  readonly #dirty = new Set<string>();
  #stale = true;

  constructor(options: TableOptions) {
    this.name = options.name;
    this.#chainPrefix = options.chainPrefix;
    this.#hashPrefix = options.hashPrefix;
    this.#onlyReferenced = options.onlyReferenced ?? true;
    this.#formerPrefixes = options.formerPrefixes ?? [];
    this.#hashOf = hashReader(options.hashPrefix);
  }

  /** Defines or replaces a chain of ours. The same rules again cost a comparison and nothing else. */
  setChain(name: string, rules: readonly Rule[]): void {
    this.#checkOwn(checkChain(name));
    const old = this.#chains.get(name);
    if (old && sameRules(old.rules, rules)) return;
    const chain: OwnChain = { rules: [...rules], references: this.#referencesOf(rules) };
    this.#chains.set(name, chain);
    if (this.#live.has(name)) {
      for (const target of chain.references) this.#live.acquire(target);
      if (old) for (const target of old.references) this.#live.release(target);
      this.#dirty.add(name);
    }
    if (!old && !this.#onlyReferenced) this.#live.acquire(name);
  }

  /** Forgets a chain. It must not be referenced any more when changes are next applied. */
  removeChain(name: string): void {
    const old = this.#chains.get(name);
    if (!old) return;
    this.#chains.delete(name);
    if (this.#live.has(name)) {
      for (const target of old.references) this.#live.release(target);
      this.#dirty.add(name);
    }
    if (!this.#onlyReferenced) this.#live.release(name);
  }

  /** Our rules at the top of somebody else's chain, usually a built-in one. They are put back there when others get in front. */
  setInsertions(chain: string, rules: readonly Rule[]): void {
    this.#setHook(chain, "insertions", rules);
  }

  /** Our rules at the end of somebody else's chain. */
  setAppends(chain: string, rules: readonly Rule[]): void {
    this.#setHook(chain, "appends", rules);
  }

  hasChain(name: string): boolean {
    return this.#chains.has(name);
  }

  /** As they were set; undefined: not defined. */
  rulesOf(name: string): readonly Rule[] | undefined {
    return this.#chains.get(name)?.rules;
  }

  /** Names of the chains defined, referenced or not. */
  chainNames(): IterableIterator<string> {
    return this.#chains.keys();
  }

  /** The kernel's content is unknown: read it before planning. */
  get stale(): boolean {
    return this.#stale;
  }

  get needsApply(): boolean {
    return this.#stale || this.#dirty.size > 0;
  }

  invalidate(): void {
    this.#stale = true;
  }

  /** Takes over what the kernel contains; everything that might differ becomes dirty. */
  load(kernel: ParsedTable | undefined): void {
    this.#kernelChains.clear();
    this.#kernelHooks.clear();
    this.#pinnedByOthers.clear();
    this.#edits.beginReading(kernel);
    this.#dirty.clear();
    for (const [printedName, { rules }] of kernel ?? []) {
      const name = detach(printedName);
      if (this.#isOurs(name)) {
        const hashes = rules.map(this.#hashOf);
        this.#kernelChains.set(name, hashes);
        this.#edits.read(name, hashes, rules);
        this.#dirty.add(name);
        continue;
      }
      let ours = this.#hooks.has(name);
      const entries = rules.map(text => {
        const hash = this.#hashOf(text) || this.#formerHash(text);
        if (hash !== "") ours = true;
        else if (text.includes(this.#chainPrefix)) this.#notePinned(text);
        return { hash, text };
      });
      if (ours) {
        this.#kernelHooks.set(name, entries);
        const own = entries.filter(e => e.hash !== "");
        this.#edits.read(
          name,
          own.map(e => e.hash),
          own.map(e => e.text),
        );
        this.#dirty.add(name);
      }
    }
    for (const name of this.#live.names()) this.#dirty.add(name);
    for (const name of this.#hooks.keys()) this.#dirty.add(name);
    this.#stale = false;
  }

  /**
   * The changes needed now, or undefined. Throws IptablesError "undefined-chain".
   * `deleteByIndex`: name rules of ours in others' chains by position instead of by value. Only for rules that the
   * program cannot recognise in its own words, because between reading and writing a position may have become another's.
   */
  plan(options: { deleteByIndex?: boolean } = {}): TablePlan | undefined {
    const declared: string[] = [];
    const rules: string[] = [];
    const hookLines: string[] = [];
    const deletions: string[] = [];
    const written: string[] = [];
    const removed: string[] = [];
    const commits: (() => void)[] = [];

    for (const name of this.#dirty) {
      if (!this.#isOurs(name)) {
        const change = this.#planHook(name, options.deleteByIndex ?? false);
        if (!change) continue;
        hookLines.push(...change.lines);
        commits.push(() => {
          this.#kernelHooks.set(name, change.entries);
          this.#edits.written(name);
        });
        written.push(name);
        continue;
      }
      const actual = this.#kernelChains.get(name);
      if (!this.#live.has(name)) {
        if (!actual) continue;
        if (this.#pinnedByOthers.has(name)) {
          if (actual.length > 0) declared.push(declareChain(name));
          commits.push(() => this.#kernelChains.set(name, []));
          continue;
        }
        declared.push(declareChain(name));
        deletions.push(`-X ${name}`);
        removed.push(name);
        commits.push(() => this.#kernelChains.delete(name));
        continue;
      }
      const chain = this.#chains.get(name);
      if (!chain)
        throw new IptablesError(
          "undefined-chain",
          `table ${this.name}: rules lead to chain ${name}, which is not defined`,
        );
      chain.hashes ??= chainHashes(name, chain.rules);
      const { hashes } = chain;
      const intact = actual !== undefined && !this.#edits.has(name) && isBeginning(actual, hashes);
      if (intact && actual.length === hashes.length) continue;
      // A chain that only grew is appended to; any other difference rewrites it.
      const from = intact ? actual.length : 0;
      if (from === 0) declared.push(declareChain(name));
      for (let i = from; i < hashes.length; i++) {
        const hash = i === hashes.length - 1 ? this.#hashPrefix + hashes[i] : undefined;
        rules.push(appendRule(name, hash, chain.rules[i]!.text));
      }
      written.push(name);
      commits.push(() => {
        this.#kernelChains.set(name, hashes);
        this.#edits.written(name);
      });
    }

    this.#dirty.clear();
    const lines = [...declared, ...rules, ...hookLines, ...deletions];
    if (lines.length === 0) {
      for (const commit of commits) commit();
      return undefined;
    }
    return { lines, written, removed, commit: () => commits.forEach(c => void c()) };
  }

  /** Chains whose state is not as wanted. They stay dirty. */
  differing(): string[] {
    const plan = this.plan();
    const names = plan ? [...plan.written, ...plan.removed] : [];
    for (const name of names) this.#dirty.add(name);
    return names;
  }

  #planHook(name: string, byIndex: boolean): { lines: string[]; entries: HookEntry[] } | undefined {
    const hook = this.#hooks.get(name);
    const entries = this.#kernelHooks.get(name) ?? [];
    const insertions = this.#hookEntries(name, hook?.insertions ?? []);
    const appends = this.#hookEntries(`${name} append`, hook?.appends ?? []);
    const others = entries.filter(e => e.hash === "");
    const wanted = [...insertions, ...others, ...appends];
    const same = wanted.length === entries.length && wanted.every((e, i) => e.hash === entries[i]!.hash);
    if (same && !this.#edits.has(name)) return undefined;

    const lines: string[] = [];
    for (let i = entries.length - 1; i >= 0; i--) {
      const { hash, text } = entries[i]!;
      if (hash !== "") lines.push(byIndex ? `-D ${name} ${i + 1}` : `-D ${name} ${text}`);
    }
    for (const { text } of insertions.toReversed()) lines.push(`-I ${name} ${text}`);
    for (const { text } of appends) lines.push(`-A ${name} ${text}`);
    return { lines, entries: wanted };
  }

  #hookEntries(seed: string, rules: readonly Rule[]): HookEntry[] {
    const hashes = chainHashes(seed, rules);
    return rules.map((rule, i) => ({
      hash: hashes[i]!,
      text: withHash(this.#hashPrefix + hashes[i], rule.text),
    }));
  }

  #setHook(chain: string, place: keyof Hook, rules: readonly Rule[]): void {
    checkChain(chain);
    if (this.#isOurs(chain))
      throw new InvalidRuleError("hook", chain, `a chain without the prefix ${this.#chainPrefix}`);
    const hook = this.#hooks.get(chain) ?? { insertions: [], appends: [] };
    const old = hook[place];
    if (sameRules(old, rules)) return;
    hook[place] = [...rules];
    if (hook.insertions.length + hook.appends.length > 0) this.#hooks.set(chain, hook);
    else this.#hooks.delete(chain);
    for (const target of this.#referencesOf(rules)) this.#live.acquire(target);
    for (const target of this.#referencesOf(old)) this.#live.release(target);
    this.#dirty.add(chain);
  }

  #notePinned(text: string): void {
    const target = targetOf(text);
    if (target !== undefined) this.#pinnedByOthers.add(target);
  }

  #formerHash(text: string): string {
    if (this.#formerPrefixes.length === 0) return "";
    const target = targetOf(text);
    return target !== undefined && this.#isOurs(target) ? FORMER : "";
  }

  #isOurs(chain: string): boolean {
    return (
      chain.startsWith(this.#chainPrefix) || this.#formerPrefixes.some(prefix => chain.startsWith(prefix))
    );
  }

  #checkOwn(name: string): void {
    if (!name.startsWith(this.#chainPrefix))
      throw new InvalidRuleError("chain", name, `a name beginning with ${this.#chainPrefix}`);
  }

  #referencesOf(rules: readonly Rule[]): string[] {
    const targets = new Set<string>();
    for (const { target } of rules)
      if (target?.chain?.startsWith(this.#chainPrefix)) targets.add(target.chain);
    return [...targets];
  }
}

function sameRules(a: readonly Rule[], b: readonly Rule[]): boolean {
  return a.length === b.length && a.every((rule, i) => rule === b[i] || rule.text === b[i]!.text);
}

/** A copy of its own: a part cut out of a text keeps the whole text, here all of iptables-save, in memory. */
const detach = (part: string) => Buffer.from(part).toString();

/**
 * Whether the kernel's chain is what the wanted one begins with. Only its last rule has to carry its hash, which vouches for those
 * before; others may, from when they were the last.
 */
function isBeginning(actual: readonly string[], wanted: readonly string[]): boolean {
  if (actual.length > wanted.length) return false;
  const last = actual.length - 1;
  return actual.every((hash, i) => hash === wanted[i] || (hash === "" && i < last));
}

/** Where a rule as text leads. */
function targetOf(text: string): string | undefined {
  const words = splitWords(text);
  const at = words.findIndex(word => /^(-j|-g|--jump|--goto)$/.test(word));
  return at < 0 ? undefined : words[at + 1];
}
