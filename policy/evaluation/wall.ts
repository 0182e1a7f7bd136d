/**
 * A wall: everything that is asked about a packet at one endpoint in one direction. It is made of stages, and each
 * stage of tiers; both ways to evaluate, packet by packet (walk.ts) and many at once (matrix.ts), read the same walls.
 *
 *   stage ── failsafe, ICMPv6 ─────> next stage; at the last one allow
 *     │
 *   tiers ── allow/deny ───────────> verdict of the whole wall
 *     │  passed, or none there
 *   end of the stage ── continue ──> next stage
 *                    ── profiles ──> allow/deny, else deny
 *                    ── allow
 *
 * A workload's wall has one stage, a host endpoint's has one for each category of policies that the packet meets there
 * (calico.md, Appendix C). Before connection tracking and DNAT no tier denies at its end.
 */

import type { FailsafePort } from "../failsafes.ts";
import type { Direction, Profile } from "../model.ts";
import type { Category, DirectionVerdict } from "../verdict.ts";
import type { AppliedTier } from "./applied.ts";

export interface Stage {
  readonly category: Category | undefined;
  /** They go past the tiers of host endpoints, except where packets are only forwarded. */
  readonly failsafes: readonly FailsafePort[];
  /** Of the other direction: where nobody tracks connections, their answers do so too, by the port they come from. */
  readonly answered?: readonly FailsafePort[];
  readonly tiers: readonly AppliedTier[];
  /** Where the tiers have no default action of their own. */
  readonly tiersPass: boolean;
  readonly end: "continue" | "profiles" | "allow";
}

export interface Wall {
  readonly endpoint: string;
  readonly kind: DirectionVerdict["kind"];
  readonly direction: Direction;
  readonly stages: readonly Stage[];
  /** In the endpoint's order; those that do not exist allow nothing. */
  readonly profiles: readonly Profile[];
}

/** The tiers are those of this direction. */
export function workloadWall(
  endpoint: string,
  direction: Direction,
  tiers: readonly AppliedTier[],
  profiles: readonly Profile[],
): Wall {
  const stage: Stage = { category: undefined, failsafes: [], tiers, tiersPass: false, end: "profiles" };
  return { endpoint, kind: "workload", direction, profiles, stages: [stage] };
}
