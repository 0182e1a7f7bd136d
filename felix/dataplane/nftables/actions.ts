/**
 * What rules do with the packets they match, and what they write beside them: verdicts, log lines, and, where the flow
 * log is on, the NFLOG record that names who decided (flow-prefix.ts). Pure.
 *
 * A verdict over one direction is a mark, not an end: after the source's egress comes the destination's ingress. A rule
 * that allows or passes goes to a chain that sets the mark and returns to whoever asked the policy.
 */

import {
  counter,
  type Expression,
  limit,
  logToGroup,
  logToKernel,
  rejectIcmp,
  rejectTcp,
  verdict,
} from "../../../linux/nf-tables/expression.ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Direction } from "../../../policy/model.ts";
import { FLOW_GROUP, type FlowDecision, type FlowReason, flowPrefix } from "../flow-prefix.ts";
import { logPrefix, type RuleOwner } from "../log-prefix.ts";
import type { RenderContext } from "./context.ts";
import { type Match, notProtocol, protocol } from "./match.ts";
import { ALLOW_CHAIN, PASS_CHAIN } from "./names.ts";
import { commentOf, counted, type TableRule } from "./rule.ts";

/** Bytes of a packet that a flow record needs: its headers. */
const FLOW_HEADER_BYTES = 80;
const LOG_LEVEL_NOTICE = 5;
const SECONDS = { second: 1n, minute: 60n, hour: 3600n, day: 86_400n } as const;

/** TCP is answered with a reset, everything else with "administratively prohibited". */
const TCP = 6;
const PROHIBITED = { 4: 13, 6: 1 } as const satisfies Record<IpVersion, number>;

/** Denies what matches, saying first who did, where the flow log wants to know. */
export function denyRules(
  match: Match,
  comment: string,
  context: RenderContext,
  decision?: Omit<FlowDecision, "action">,
): TableRule[] {
  const flow = decision === undefined ? [] : flowRecord({ action: "deny", ...decision }, context);
  return denying([...match, ...flow], comment, context);
}

/** What felix refuses by itself. */
function denying(match: Match, comment: string, context: RenderContext): TableRule[] {
  const { config, layer } = context;
  const rejects = layer === "filter" && config.nftablesFilterDenyAction === "Reject";
  return rejects ? rejectRules(match, comment, context) : [counted(match, "drop", comment)];
}

/** Says no at once, so that who asks need not wait. The flow record, if there is one, is in `match`. */
export function rejectRules(match: Match, comment: string, { version }: RenderContext): TableRule[] {
  const said = commentOf(comment);
  return [
    { expressions: [...protocol(TCP), ...match, counter(), rejectTcp()], comment: said },
    {
      expressions: [...notProtocol(TCP), ...match, counter(), rejectIcmp(PROHIBITED[version])],
      comment: said,
    },
  ];
}

/** What the model's rule does where `match` holds. */
export function actionRules(
  match: Match,
  action: "allow" | "deny" | "pass" | "log",
  index: number,
  owner: RuleOwner,
  direction: Direction,
  comment: string,
  context: RenderContext,
): TableRule[] {
  if (action === "log") return [logRule(match, owner, comment, context)];
  const reason: FlowReason = { kind: owner.kind, name: owner.name, rule: index };
  const flow = flowRecord({ action, direction, reason }, context);
  if (action === "deny") return denying([...match, ...flow], comment, context);
  const goto = action === "allow" ? ALLOW_CHAIN : PASS_CHAIN;
  return [{ expressions: [...match, ...flow, counter(), verdict({ goto })], comment: commentOf(comment) }];
}

/** Without connections, every packet would be a record. */
function flowRecord(decision: FlowDecision, { config, layer }: RenderContext): Expression[] {
  if (!config.flowLogsLocalReporter || layer === "raw") return [];
  return [logToGroup(FLOW_GROUP[decision.direction], flowPrefix(decision), FLOW_HEADER_BYTES)];
}

function logRule(match: Match, owner: RuleOwner, comment: string, { config }: RenderContext): TableRule {
  const [count, per] = config.logActionRateLimit.split("/") as [string, keyof typeof SECONDS | undefined];
  const burst = Math.max(1, config.logActionRateLimitBurst);
  const limited = per ? [limit({ rate: BigInt(count), seconds: SECONDS[per], burst })] : [];
  const log = logToKernel(`${logPrefix(config.logPrefix, owner)}: `, LOG_LEVEL_NOTICE);
  return { expressions: [...match, counter(), ...limited, log], comment: commentOf(comment) };
}
