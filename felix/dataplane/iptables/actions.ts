/**
 * What rules do with the packets they match, and what they write beside them: verdicts, log lines, and, where the flow
 * log is on, the NFLOG record that names who decided (flow-prefix.ts). Pure.
 *
 * A verdict over one direction is a mark, not an end: after the source's egress comes the destination's ingress. A rule
 * that allows or passes goes to a chain of one rule that sets the mark and returns to whoever asked the policy. One
 * rule instead of two, because what a commit costs the kernel is the number of rules (docs/dataplanes.md).
 * Where something has to be written between match and verdict, the mark carries the match to the rules after it.
 */

import { type Rule as IptablesRule, rule, type TableName } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Direction, Rule } from "../../../policy/model.ts";
import type { FelixConfig } from "../../calc/config.ts";
import { FLOW_GROUP, type FlowDecision, type FlowReason, flowPrefix } from "../flow-prefix.ts";
import { logPrefix, type RuleOwner } from "../log-prefix.ts";
import type { MarkBits } from "../marks.ts";
import { ALLOW_CHAIN, PASS_CHAIN, REJECT_CHAIN } from "./names.ts";

export interface RenderContext {
  readonly version: IpVersion;
  readonly config: FelixConfig;
  readonly marks: MarkBits;
  /** Only `filter` can reject, and `raw` sees every packet of what is not tracked. */
  readonly table: TableName;
}

/** Bytes of a packet that a flow record needs: its headers. */
const FLOW_HEADER_BYTES = 80;

export function denyRule(matches: IptablesRule, { config, table }: RenderContext): IptablesRule {
  const reject = table === "filter" && config.iptablesFilterDenyAction === "Reject";
  return reject ? rejectRule(matches) : matches.drop();
}

/** Tells who asked. Only in the filter table. */
export const rejectRule = (matches: IptablesRule): IptablesRule => matches.goto(REJECT_CHAIN);

/** Denies what matches, saying first who did, where the flow log wants to know. */
export function denyRules(
  matches: IptablesRule,
  decision: Omit<FlowDecision, "action">,
  context: RenderContext,
): IptablesRule[] {
  const denied = denyRule(matches, context);
  return keepsFlows(context) ? [flowRule(matches, { action: "deny", ...decision }), denied] : [denied];
}

/**
 * The chains that rules of this table go to. TCP is told by a reset: an ICMP error that comes back while the client is still
 * within connect(), as it does between workloads of one host, is put off until the next try.
 */
export function actionChains({ marks, table }: RenderContext): Map<string, readonly IptablesRule[]> {
  const chains = new Map<string, readonly IptablesRule[]>([
    [ALLOW_CHAIN, [rule().setMark(marks.accept)]],
    [PASS_CHAIN, [rule().setMark(marks.pass)]],
  ]);
  if (table === "filter")
    chains.set(REJECT_CHAIN, [rule().protocol("tcp").reject("tcp-reset"), rule().reject()]);
  return chains;
}

/** What the model's rule does, `base` being what it matches. The first of these rules counts its packets. */
export function actionRules(
  base: IptablesRule,
  { action }: Pick<Rule, "action">,
  index: number,
  owner: RuleOwner,
  direction: Direction,
  context: RenderContext,
): IptablesRule[] {
  if (action === "log") return [logRule(base, owner, context.config)];
  const { marks } = context;
  if (!keepsFlows(context)) {
    if (action === "deny") return [denyRule(base, context)];
    return [base.goto(action === "allow" ? ALLOW_CHAIN : PASS_CHAIN)];
  }
  const bit = { allow: marks.accept, pass: marks.pass, deny: marks.drop }[action];
  const reason: FlowReason = { kind: owner.kind, name: owner.name, rule: index };
  const marked = rule().markSet(bit);
  return [
    base.setMark(bit),
    flowRule(marked, { action, direction, reason }),
    action === "deny" ? denyRule(marked, context) : marked.return(),
  ];
}

/** Without connections, every packet would be a record. */
function keepsFlows({ config, table }: RenderContext): boolean {
  return config.flowLogsLocalReporter && table !== "raw";
}

function flowRule(matches: IptablesRule, decision: FlowDecision): IptablesRule {
  const prefix = flowPrefix(decision);
  return matches.nflog({ group: FLOW_GROUP[decision.direction], prefix, size: FLOW_HEADER_BYTES });
}

function logRule(base: IptablesRule, owner: RuleOwner, config: FelixConfig): IptablesRule {
  const { logActionRateLimit, logActionRateLimitBurst } = config;
  const [count, per] = logActionRateLimit.split("/");
  const limited = per
    ? base.limit({ count: Number(count), per: per as "second", burst: Math.max(1, logActionRateLimitBurst) })
    : base;
  return limited.log({ prefix: `${logPrefix(config.logPrefix, owner)}: `, level: "notice" });
}
