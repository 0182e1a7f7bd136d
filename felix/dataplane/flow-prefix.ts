/**
 * What a rule writes beside a packet that it decided, so that the flow log can say which rule it was: the prefix of
 * the NFLOG target or log expression that stands before the verdict. In Calico's own notation:
 *
 *     APE0|np/default/web     allowed by rule 0 of the policy's egress
 *     DRI2|kns.default        denied by rule 2 of the profile's ingress
 *     DPI|default             no policy of the tier decided; its default action did
 *     DRI                     no profile allowed it
 *
 * The kernel has room for 63 characters, and iptables-restore splits lines at blanks and quotes: a name that is too long or
 * has such characters ends in a hash, and only who knows the names can tell which it was.
 */

import { createHash } from "node:crypto";
import type { Direction } from "../../policy/model.ts";

/** What decided, by its place in the model; `name` is a policy's key or a profile's name. */
export type FlowReason =
  | { readonly kind: "policy"; readonly name: string; readonly rule: number }
  | { readonly kind: "profile"; readonly name: string; readonly rule: number }
  | { readonly kind: "tier-default"; readonly tier: string }
  | { readonly kind: "no-profile" };

export interface FlowDecision {
  /** `pass` is a decision only of a rule or tier: the next tier goes on. */
  readonly action: "allow" | "deny" | "pass";
  readonly direction: Direction;
  readonly reason: FlowReason;
}

/** The NFLOG group: one for each direction, as Calico has it. */
export const FLOW_GROUP = { ingress: 1, egress: 2 } as const satisfies Record<Direction, number>;

/** Leaves three letters, a rule's number of nine digits and the bar within 63 characters. */
const MAX_NAME = 50;
const HASH_LENGTH = 22;
/** ASCII without blanks, quotes and backslashes. */
const WRITABLE = /^[!#-&(-[\]-~]*$/;

const ACTION_LETTER = { allow: "A", deny: "D", pass: "P" } as const;
const ACTIONS = { A: "allow", D: "deny", P: "pass" } as const;

/** At most 63 characters, no blanks, no quotes; equal for equal decisions. */
export function flowPrefix({ action, direction, reason }: FlowDecision): string {
  const side = direction === "ingress" ? "I" : "E";
  const head = (owner: "P" | "R") => ACTION_LETTER[action] + owner + side;
  switch (reason.kind) {
    case "policy":
      return `${head("P")}${reason.rule}|${flowName(reason.name)}`;
    case "profile":
      return `${head("R")}${reason.rule}|${flowName(reason.name)}`;
    case "tier-default":
      return `${head("P")}|${flowName(reason.tier)}`;
    case "no-profile":
      return head("R");
  }
}

/** The name as a prefix holds it: itself where it fits. Two names differ in it, but for a broken SHA-256. */
export function flowName(name: string): string {
  if (name.length <= MAX_NAME && WRITABLE.test(name)) return name;
  const hash = createHash("sha256").update(name).digest("base64url").slice(0, HASH_LENGTH);
  const readable = name.replaceAll(/[^!#-&(-[\]-~]/g, "-").slice(0, MAX_NAME - HASH_LENGTH - 1);
  return `${readable}_${hash}`;
}

/**
 * The decision that the prefix stands for; undefined where it is not one of ours. `nameOf` gives the name that
 * {@link flowName} made this of; where it knows none, the name stays as it was written.
 */
export function readFlowPrefix(
  prefix: string,
  nameOf: (kind: "policy" | "profile" | "tier", written: string) => string | undefined,
): FlowDecision | undefined {
  const parts = /^([ADP])([PR])([IE])(?:(\d+)\|(.+)|\|(.+))?$/.exec(prefix);
  if (parts === null) return undefined;
  const [, letter, owner, side, rule, name, tier] = parts;
  const reason = readReason(owner === "P" ? "policy" : "profile", rule, name, tier, nameOf);
  return (
    reason && {
      action: ACTIONS[letter as keyof typeof ACTIONS],
      direction: side === "I" ? "ingress" : "egress",
      reason,
    }
  );
}

function readReason(
  kind: "policy" | "profile",
  rule: string | undefined,
  name: string | undefined,
  tier: string | undefined,
  nameOf: Parameters<typeof readFlowPrefix>[1],
): FlowReason | undefined {
  if (name !== undefined) return { kind, name: nameOf(kind, name) ?? name, rule: Number(rule) };
  if (kind === "policy")
    return tier === undefined ? undefined : { kind: "tier-default", tier: nameOf("tier", tier) ?? tier };
  return tier === undefined ? { kind: "no-profile" } : undefined;
}
