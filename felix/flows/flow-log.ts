/**
 * The flow log of a running agent: packets that rules have logged become flows, which are kept for a while, counted, and
 * told to whoever follows. Nothing that policy is depends on it: where another program has the NFLOG groups, it waits
 * for them and says so.
 */

import { isDeepStrictEqual } from "node:util";
import { jitteredBackoff } from "../../daemon/backoff.ts";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { LogBatch, LoggedFlow, NflogOptions } from "../../linux/nflog/nflog.ts";
import type { Ip } from "../../net/ip.ts";
import { canonicalProtocol, type Direction } from "../../policy/model.ts";
import type { Reason } from "../../policy/verdict.ts";
import type { Changes } from "../calc/changes.ts";
import type { DecidedPacket, StagedDecision } from "../calc/staged-judge.ts";
import { FLOW_GROUP, type FlowDecision, type FlowReason } from "../dataplane/flow-prefix.ts";
import type { Flow, FlowEnd, StagedVerdict } from "./flow.ts";
import { FlowTable } from "./flow-table.ts";
import { RuleNames } from "./rule-names.ts";

/** With the names of all their ends some 10 MB. */
const MAX_FLOWS = 10_000;

export interface FlowLogOptions {
  /** How long a flow is shown after its last packet, in milliseconds. */
  readonly windowMs: number;
  /** What is known of an address. */
  readonly end: (address: Ip) => FlowEnd;
  /** CalcGraph.judgeStaged */
  readonly judgeStaged: (direction: Direction, packet: DecidedPacket) => readonly StagedDecision[];
  readonly metrics: {
    flow(flow: Flow): void;
    flowPacketsLost(packets: number): void;
    policyGone(policy: string): void;
  };
  readonly clock: Clock;
  readonly logger: Logger;
  /** Nflog.open */
  readonly open: (options: NflogOptions) => { close(): Promise<void> };
}

/** What was seen since the last call, not what is known in all. */
export type FlowListener = (flows: readonly Flow[]) => void;

export class FlowLog {
  readonly #options: FlowLogOptions;
  readonly #table: FlowTable;
  readonly #rules = new RuleNames();
  readonly #listeners = new Set<FlowListener>();

  constructor(options: FlowLogOptions) {
    this.#options = options;
    this.#table = new FlowTable({ maxFlows: MAX_FLOWS, windowMs: options.windowMs });
  }

  /** What the dataplane is told: its rules are the ones that log. */
  noteChanges(changes: Changes): void {
    this.#rules.noteChanges(changes);
    for (const [key, policy] of changes.policies) if (!policy) this.#options.metrics.policyGone(key);
  }

  /** Those of the last window, the one seen last at the end. */
  flows(): Flow[] {
    return this.#table.list(this.#options.clock.now());
  }

  /** Until the returned function is called. */
  follow(listener: FlowListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, open } = this.#options;
    const backoff = jitteredBackoff({ firstMs: 1_000, maxMs: 30_000 });
    while (!signal.aborted) {
      const ended = Promise.withResolvers<void>();
      const end = () => ended.resolve();
      signal.addEventListener("abort", end, { once: true });
      try {
        const nflog = open({
          groups: Object.values(FLOW_GROUP),
          onBatch: batch => this.#take(batch),
          onFailure: error => {
            logger.error({ err: error }, "the flow log stopped, starting it again");
            end();
          },
        });
        backoff.reset();
        await ended.promise;
        await nflog.close();
      } catch (error) {
        logger.error({ err: error }, "cannot log flows, trying again");
      } finally {
        signal.removeEventListener("abort", end);
      }
      if (!signal.aborted) await clock.sleep(backoff.next(), signal).catch(() => {});
    }
  }

  #take({ flows: logged, lost }: LogBatch): void {
    if (lost > 0) this.#options.metrics.flowPacketsLost(lost);
    const flows = logged.flatMap(each => this.#flow(each) ?? []);
    for (const flow of flows) {
      this.#options.metrics.flow(flow);
      this.#table.add(flow);
    }
    if (flows.length > 0) for (const listener of this.#listeners) listener(flows);
  }

  /** Undefined for others' prefixes, and for `pass`, after which something else decides. */
  #flow(logged: LoggedFlow): Flow | undefined {
    const decision = this.#rules.read(logged.prefix);
    if (decision === undefined || decision.action === "pass") return undefined;
    const { destinationPort, icmp, packets, bytes, first, last } = logged;
    const staged = this.#staged(logged, decision);
    return {
      source: this.#options.end(logged.source),
      destination: this.#options.end(logged.destination),
      protocol: canonicalProtocol(logged.protocol) ?? logged.protocol,
      ...(destinationPort !== undefined && { port: destinationPort }),
      ...(icmp !== undefined && { icmp }),
      direction: decision.direction,
      verdict: decision.action,
      decidedBy: decision.reason,
      ...(staged && { staged }),
      packets,
      bytes,
      first,
      last,
    };
  }

  /**
   * Only of endpoints where the judge finds in force what the rule has said: the others have not logged it, or their
   * policies have changed since. Two may have logged the same; then they have to be of one mind.
   */
  #staged(logged: LoggedFlow, { action, direction, reason }: FlowDecision): StagedVerdict | undefined {
    const [staged, ...others] = this.#options
      .judgeStaged(direction, logged)
      .filter(
        ({ inForce }) => inForce.verdict === action && isDeepStrictEqual(flowReason(inForce.reason), reason),
      )
      .map(decision => decision.staged);
    if (!staged || others.some(other => !isDeepStrictEqual(other, staged))) return undefined;
    const decidedBy = staged.reason.kind === "forward-default" ? staged.reason : flowReason(staged.reason);
    return decidedBy && { verdict: staged.verdict, decidedBy };
  }
}

/** Undefined for what no rule logs. */
function flowReason(reason: Reason): FlowReason | undefined {
  switch (reason.kind) {
    case "policy":
      return { kind: "policy", name: reason.policy, rule: reason.rule };
    case "profile":
      return { kind: "profile", name: reason.profile, rule: reason.rule };
    case "tier-default":
    case "no-profile":
      return reason;
    default:
      return undefined;
  }
}
