/**
 * Established connections follow the policy. Rules let through whatever belongs to a connection that was let through
 * once, for as long as connection tracking remembers it; Calico leaves it at that. Here, when new rules are in force,
 * the connections of those whom they may deny something are judged once more (calc/flow-judge.ts), and exactly those
 * that would not be let through today are cut.
 *
 * Forgetting one that is still allowed could stall it: its next packet may come from the other side, and be judged as
 * the first of a connection the other way round. So nothing is forgotten by address, and only after the commit. Suspects
 * of a change wait for the commit that carries it.
 *
 * A look costs a listing of the table (3 ms per 1,000 connections, of which those of others are hardly read), in short turns,
 * and looks take a tenth of the time at most: where policies change all the time, a deny cuts a little later.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { Conntrack, TrackedFlow } from "../../linux/conntrack.ts";
import type { Ip } from "../../net/ip.ts";
import type { Changes } from "../calc/changes.ts";
import type { FlowJudge, HostView } from "../calc/flow-judge.ts";
import { FlowSuspects, type Suspects } from "../calc/flow-suspects.ts";

export interface EstablishedFlowsOptions {
  readonly judge: Pick<FlowJudge, "update" | "isWorkload" | "concerns" | "allows">;
  readonly conntrack: Pick<Conntrack, "scan" | "cut" | "forget">;
  /** The host as it is now; asked for once per look. */
  readonly host: () => HostView;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly onCut?: (flows: number) => void;
}

/** As long as one turn may be. */
const TURN_MS = 5;
/** Of the time that looks may take. */
const SHARE = 0.1;
const PAUSE_MS = 10;
const RETRY_MS = 1_000;

export class EstablishedFlows {
  readonly #options: EstablishedFlowsOptions;
  readonly #suspects = new FlowSuspects();
  /** Of changes that are not yet on their way, are on their way, and are in force. */
  #noted: Suspects = new Set();
  #taken: Suspects = new Set();
  #due: Suspects = new Set();
  /** Workloads whose connections were cut: what stands in the place of these is in the way once they are allowed again. */
  readonly #buried = new Set<Ip>();
  #wake: (() => void) | undefined;

  constructor(options: EstablishedFlowsOptions) {
    this.#options = options;
  }

  /** In the same turn as the calculation hands the changes over. */
  update(changes: Changes): void {
    this.#options.judge.update(changes);
    const { closing, opening } = this.#suspects.update(changes);
    this.#noted = both(both(this.#noted, closing), this.#revivable(opening));
  }

  /** What was handed over until now goes into the next commit. */
  taken(): void {
    this.#taken = both(this.#taken, this.#noted);
    this.#noted = new Set();
  }

  /** The rules of what was taken are in force. */
  inForce(): void {
    this.#due = both(this.#due, this.#taken);
    this.#taken = new Set();
    if (!isNobody(this.#due)) this.#wake?.();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const pause = (milliseconds: number) => clock.sleep(milliseconds, signal).catch(() => {});
    let failing = false;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      if (isNobody(this.#due)) {
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      const suspects = this.#due;
      this.#due = new Set();
      try {
        const busy = await this.#look(suspects, signal);
        failing = false;
        await pause(PAUSE_MS + busy / SHARE - busy);
      } catch (error) {
        if (!failing)
          logger.error({ err: error }, "could not end connections that are denied now, trying again");
        failing = true;
        this.#due = both(this.#due, suspects);
        await pause(RETRY_MS);
      }
    }
  }

  /** Returns how long it was busy, in milliseconds. */
  async #look(suspects: Suspects, signal: AbortSignal): Promise<number> {
    const { conntrack, judge, logger, onCut } = this.#options;
    const host = this.#options.host();
    const concerned =
      suspects === "all"
        ? (source: Ip, destination: Ip) => judge.concerns(source, destination)
        : (source: Ip, destination: Ip) => suspects.has(source) || suspects.has(destination);
    if (suspects === "all") this.#buried.clear();
    else for (const address of suspects) this.#buried.delete(address);
    let cut = 0;
    let busy = 0;
    let turn = performance.now();
    for (const flows of conntrack.scan((original, reply) => concerned(original.source, reply.source))) {
      cut += this.#settle(
        flows.filter(({ zone }) => zone === 0),
        host,
      );
      if (performance.now() - turn < TURN_MS) continue;
      busy += performance.now() - turn;
      await nextTurn();
      if (signal.aborted) return busy;
      turn = performance.now();
    }
    if (cut > 0) logger.info({ flows: cut }, "ended connections that policy denies now");
    onCut?.(cut);
    return busy + performance.now() - turn;
  }

  /** Those of the touched who have something to be revived. */
  #revivable(touched: Suspects): Suspects {
    if (touched === "all") return this.#buried.size > 0 ? "all" : new Set();
    return new Set([...touched].filter(address => this.#buried.has(address)));
  }

  /** Returns how many were cut. */
  #settle(flows: readonly TrackedFlow[], host: HostView): number {
    const { conntrack, judge } = this.#options;
    const cut: TrackedFlow[] = [];
    const revived: TrackedFlow[] = [];
    for (const flow of flows) {
      const allowed = judge.allows(flow, host);
      if (allowed && flow.isTombstone) revived.push(flow);
      if (allowed) continue;
      if (!flow.isTombstone) cut.push(flow);
      const ends = [flow.original.source, flow.reply.source];
      const workloads = ends.filter(end => judge.isWorkload(end));
      // Between others it is a matter of the host's endpoints, whose every change leads to a look at all.
      for (const address of workloads.length > 0 ? workloads : ends) this.#buried.add(address);
    }
    if (revived.length > 0) conntrack.forget(revived);
    if (cut.length > 0) conntrack.cut(cut);
    return cut.length;
  }
}

function both(a: Suspects, b: Suspects): Suspects {
  return a === "all" || b === "all" ? "all" : new Set([...a, ...b]);
}

function isNobody(suspects: Suspects): boolean {
  return suspects !== "all" && suspects.size === 0;
}
