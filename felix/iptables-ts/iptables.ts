/**
 * The tables of one IP version, kept as they should be. All changes since the last call go to the kernel in ONE
 * `iptables-restore` process, whatever number of tables they touch; no change means no process.
 *
 * What the kernel contains is read once, then remembered: `apply()` costs O(changes). `check()` reads again
 * (for the periodic resync) and says what somebody else changed; the next `apply()` repairs it.
 * When the kernel refuses a transaction (somebody else may have changed things in between), everything is read again and
 * tried again; only when that keeps failing does `apply()` throw, with nothing forgotten.
 */

import type { Backend } from "./backend.ts";
import { type ChainCounters, parseCounters } from "./counters.ts";
import { IptablesError } from "./errors.ts";
import { parseSave, type TableName } from "./parse.ts";
import { renderRestore } from "./render.ts";
import { Table, type TablePlan } from "./table.ts";

export interface IptablesOptions {
  readonly backend: Backend;
  /** Default: all that Calico uses. They are committed in this order. */
  readonly tables?: readonly TableName[];
  readonly chainPrefix: string;
  readonly hashPrefix: string;
  readonly onlyReferenced?: boolean;
  /** See TableOptions. */
  readonly formerPrefixes?: readonly string[];
  /** How often to try before giving up. Default 10, waiting 1, 2, 4... ms in between. */
  readonly attempts?: number;
  readonly sleep?: (ms: number) => Promise<void>;
}

export interface ApplyResult {
  /** Chains created, rewritten or appended to, as "table/chain"; hooks included. */
  readonly written: readonly string[];
  readonly removed: readonly string[];
  readonly attempts: number;
}

/** A line refused this often, each time planned from a fresh reading, is not a race but a bad line. */
const SAME_REFUSALS = 4;

const UNCHANGED: ApplyResult = { written: [], removed: [], attempts: 0 };

export class Iptables {
  readonly backend: Backend;
  readonly #tables = new Map<TableName, Table>();
  readonly #chainPrefix: string;
  readonly #attempts: number;
  readonly #sleep: (ms: number) => Promise<void>;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: IptablesOptions) {
    const { tables = ["raw", "mangle", "nat", "filter"], ...rest } = options;
    this.backend = options.backend;
    this.#attempts = options.attempts ?? 10;
    this.#sleep = options.sleep ?? (ms => new Promise(resolve => setTimeout(resolve, ms)));
    this.#chainPrefix = options.chainPrefix;
    for (const name of tables) this.#tables.set(name, new Table({ ...rest, name }));
  }

  table(name: TableName): Table {
    const table = this.#tables.get(name);
    if (!table) throw new RangeError(`table ${name} is not among those this instance keeps`);
    return table;
  }

  get needsApply(): boolean {
    return [...this.#tables.values()].some(t => t.needsApply);
  }

  /** Forgets what the kernel contains: the next apply reads it again. */
  invalidate(): void {
    for (const table of this.#tables.values()) table.invalidate();
  }

  /** Makes the kernel contain what was asked for. Resolves when it does. Calls queue up. Throws IptablesError. */
  apply(): Promise<ApplyResult> {
    return this.#exclusive(() => this.#apply());
  }

  /**
   * Reads the kernel and returns the chains that are not as they should be, as "table/chain" (changes not yet
   * applied count too). `apply()` repairs them.
   */
  check(): Promise<string[]> {
    return this.#exclusive(async () => {
      this.invalidate();
      await this.#read();
      return [...this.#tables.values()].flatMap(t => t.differing().map(chain => `${t.name}/${chain}`));
    });
  }

  /**
   * What the rules of our chains have counted since they were written: by table and chain, one entry for each rule in its
   * order. Reads the kernel. Throws IptablesError.
   */
  async counters(): Promise<Map<TableName, ChainCounters>> {
    const text = await this.backend.save(undefined, { counters: true });
    return parseCounters(text, chain => chain.startsWith(this.#chainPrefix));
  }

  /** Lets go of the restore program kept between commits. What is in the kernel stays; everything may be used again. */
  close(): Promise<void> {
    return this.#exclusive(async () => this.backend.close?.());
  }

  async #apply(): Promise<ApplyResult> {
    if (!this.needsApply) return UNCHANGED;
    let deleteByIndex = false;
    let refused: { text: string | undefined; times: number } = { text: undefined, times: 0 };
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#read();
        const plans = this.#plan(deleteByIndex);
        if (plans.length === 0) return { ...UNCHANGED, attempts: attempt };
        await this.backend.restore(
          renderRestore(plans.map(([table, { lines }]) => ({ table: table.name, lines }))),
        );
        for (const [, plan] of plans) plan.commit();
        return {
          written: plans.flatMap(([table, plan]) => plan.written.map(c => `${table.name}/${c}`)),
          removed: plans.flatMap(([table, plan]) => plan.removed.map(c => `${table.name}/${c}`)),
          attempts: attempt,
        };
      } catch (error) {
        this.invalidate();
        if (!(error instanceof IptablesError) || error.code === "undefined-chain") throw error;
        refused = { text: error.text, times: error.text === refused.text ? refused.times + 1 : 1 };
        const hopeless = error.text !== undefined && refused.times >= SAME_REFUSALS;
        if (hopeless || attempt >= this.#attempts) throw error;
        // Read afresh and still not recognised: the program prints this rule in words it does not read back.
        deleteByIndex = attempt > 1 && (error.text?.startsWith("-D ") ?? false);
        await this.#sleep(2 ** (attempt - 1));
      }
    }
  }

  #plan(deleteByIndex: boolean): [Table, TablePlan][] {
    const plans: [Table, TablePlan][] = [];
    for (const table of this.#tables.values()) {
      const plan = table.plan({ deleteByIndex });
      if (plan) plans.push([table, plan]);
    }
    return plans;
  }

  async #read(): Promise<void> {
    const stale = [...this.#tables.values()].filter(t => t.stale);
    if (stale.length === 0) return;
    const kernel = parseSave(await this.backend.save(this.#tables.size === 1 ? stale[0]!.name : undefined));
    for (const table of stale) table.load(kernel.get(table.name));
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }
}
