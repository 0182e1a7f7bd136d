/** One packet against one wall, with every step that had a part in it. */

import { contains } from "../../net/cidr.ts";
import { type FailsafePort, HOST_NEIGHBOR_DISCOVERY } from "../failsafes.ts";
import { type Membership, matchesRule } from "../match.ts";
import { type Direction, policyKey } from "../model.ts";
import type { Packet } from "../packet.ts";
import type { Category, DirectionVerdict, Reason, Step } from "../verdict.ts";
import type { AppliedTier } from "./applied.ts";
import type { Stage, Wall } from "./wall.ts";

/** The packet as it came, and as it is once its destination has been translated; mostly the same. */
export interface Seen {
  readonly before: Packet;
  readonly after: Packet;
}

export function askWall(wall: Wall, seen: Seen, membership: Membership): DirectionVerdict {
  const { endpoint, kind, direction } = wall;
  const trace: Step[] = [];
  const verdict = wallVerdict(wall, seen, membership, trace);
  return { endpoint, kind, direction, verdict, trace };
}

/** Whether the stage's policies see the packet before its destination is translated. */
export function seesBefore(category: Category | undefined): boolean {
  return category === "untracked" || category === "preDNAT";
}

function wallVerdict(wall: Wall, seen: Seen, membership: Membership, trace: Step[]): "allow" | "deny" {
  for (const stage of wall.stages) {
    const packet = seesBefore(stage.category) ? seen.before : seen.after;
    const action = askStage(stage, wall.direction, packet, membership, trace);
    if (action === "allow" || action === "deny") return action;
    // What goes past the tiers goes on to the next stage, where it is asked for again.
    if (stage.end === "continue") continue;
    if (stage.end === "profiles" && action === "passed")
      return askProfiles(wall, stage, packet, membership, trace);
    trace.push(step("allow", { kind: action === "passed" ? "forward-default" : action }, stage));
  }
  return "allow";
}

function askStage(
  stage: Stage,
  direction: Direction,
  packet: Packet,
  membership: Membership,
  trace: Step[],
): "allow" | "deny" | "passed" | Exempt {
  const exempt = exemption(stage, direction, packet);
  if (exempt !== undefined) return exempt;
  for (const tier of stage.tiers) {
    const action = askTier(tier, stage, direction, packet, membership, trace);
    if (action !== "pass") return action;
  }
  return "passed";
}

function askTier(
  tier: AppliedTier,
  stage: Stage,
  direction: Direction,
  packet: Packet,
  membership: Membership,
  trace: Step[],
): "allow" | "deny" | "pass" {
  for (const policy of tier.policies) {
    const rules = policy[direction];
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      if (!matchesRule(rule, packet, membership)) continue;
      const reason = { kind: "policy", tier: tier.name, policy: policyKey(policy.id), rule: i } as const;
      trace.push(step(rule.action, reason, stage));
      if (rule.action !== "log") return rule.action;
    }
  }
  if (stage.tiersPass) return "pass";
  trace.push(step(tier.defaultAction, { kind: "tier-default", tier: tier.name }, stage));
  return tier.defaultAction;
}

function askProfiles(
  { profiles, direction }: Wall,
  stage: Stage,
  packet: Packet,
  membership: Membership,
  trace: Step[],
): "allow" | "deny" {
  for (const profile of profiles) {
    for (const [i, rule] of profile[direction].entries()) {
      if (!matchesRule(rule, packet, membership)) continue;
      trace.push(step(rule.action, { kind: "profile", profile: profile.name, rule: i }, stage));
      if (rule.action === "allow" || rule.action === "deny") return rule.action;
      if (rule.action === "pass") break;
    }
  }
  trace.push(step("deny", { kind: "no-profile" }, stage));
  return "deny";
}

/** What no policy of the stage is asked about. */
export type Exempt = "failsafe" | "neighbor-discovery";

export function exemption(stage: Stage, direction: Direction, packet: Packet): Exempt | undefined {
  const { category, failsafes, answered = [] } = stage;
  if (category === undefined || category === "forward") return undefined;
  if (isNeighborDiscovery(packet, HOST_NEIGHBOR_DISCOVERY)) return "neighbor-discovery";
  const { sourcePort, destinationPort } = packet;
  return failsafes.some(port => isFailsafe(port, destinationPort, direction, packet)) ||
    answered.some(port => isFailsafe(port, sourcePort, direction, packet))
    ? "failsafe"
    : undefined;
}

export function isNeighborDiscovery({ protocol, icmp }: Packet, types: ReadonlySet<number>): boolean {
  return protocol === "ICMPv6" && icmp !== undefined && types.has(icmp.type);
}

/** The net is the other end's. */
function isFailsafe(
  failsafe: FailsafePort,
  port: number | undefined,
  direction: Direction,
  packet: Packet,
): boolean {
  const other = direction === "ingress" ? packet.source : packet.destination;
  return (
    port === failsafe.port &&
    String(packet.protocol).toLowerCase() === failsafe.protocol &&
    (failsafe.net === undefined || contains(failsafe.net, other))
  );
}

export function step(action: Step["action"], reason: Reason, { category }: Pick<Stage, "category">): Step {
  return category === undefined ? { action, reason } : { action, reason, category };
}
