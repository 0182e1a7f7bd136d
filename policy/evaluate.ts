/**
 * What policy decides about one packet, and which rule decided it: the meaning of the model, written down once
 * and without a kernel. Dataplanes must agree with it; `simulate` and `why` ask it.
 *
 * A packet between two endpoints needs two verdicts, egress at its source and ingress at its destination, and those of
 * the hosts between them where these have host endpoints (evaluation/way.ts). In each direction the tiers are walked
 * in order (evaluation/walk.ts):
 *
 *   tier 1 ── allow/deny ──────────────────────────────> verdict
 *     │ pass, or no policy of the tier applies
 *   tier 2 ── no rule matched ── default action deny ──> verdict
 *     │ pass
 *   profiles in the endpoint's order ── allow/deny ────> verdict
 *     └── no rule matched ─────────────────────────────> deny
 *
 * Only the first packet of a connection is asked about; what follows is connection tracking's.
 */

import type { Ip } from "../net/ip.ts";
import { AppliedPolicies, type AppliedTier } from "./evaluation/applied.ts";
import { CandidatesOfEnds } from "./evaluation/candidates-of-ends.ts";
import { computeMatrix, type Matrix, type Target } from "./evaluation/matrix.ts";
import { Members } from "./evaluation/members.ts";
import { askWall } from "./evaluation/walk.ts";
import { type Route, Ways } from "./evaluation/way.ts";
import { canonicalProtocol, type Direction } from "./model.ts";
import type { Packet } from "./packet.ts";
import type { PolicyState } from "./policy-state.ts";
import { enforceStaged } from "./staged.ts";
import type { Category, DirectionVerdict, Verdict } from "./verdict.ts";

export type { AppliedTier } from "./evaluation/applied.ts";
export type { Candidates } from "./evaluation/candidates.ts";
export type { CandidatesBetween } from "./evaluation/candidates-of-ends.ts";
export type { Decision, Matrix, Target } from "./evaluation/matrix.ts";
export type { Route } from "./evaluation/way.ts";
export type { Packet } from "./packet.ts";
export type * from "./policy-state.ts";
export type * from "./verdict.ts";

export interface EvaluatorOptions {
  /** `set`: as if every staged policy were carried out. Default: they are in force nowhere. */
  readonly staged?: "ignore" | "set";
  /** Asks every wall in the way, also behind one that denied. Default: false. */
  readonly askAll?: boolean;
}

export class PolicyEvaluator {
  readonly #members: Members;
  readonly #applied: AppliedPolicies;
  readonly #ways: Ways;
  readonly #askAll: boolean;
  readonly #state: PolicyState;
  #candidates: CandidatesOfEnds | undefined;

  constructor(given: PolicyState, { staged = "ignore", askAll = false }: EvaluatorOptions = {}) {
    const state = staged === "set" ? { ...given, policies: enforceStaged(given.policies) } : given;
    this.#state = state;
    this.#askAll = askAll;
    this.#members = new Members(state);
    this.#applied = new AppliedPolicies(state, this.#members);
    this.#ways = new Ways(state, this.#applied);
  }

  /** A packet to an endpoint's own address never leaves it, so nobody is asked. */
  verdict(packet: Packet, route: Route = {}): Verdict {
    const asked = { ...packet, protocol: canonicalProtocol(packet.protocol)! };
    const directions: DirectionVerdict[] = [];
    let verdict: "allow" | "deny" = "allow";
    for (const obstacle of this.#ways.obstacles(asked, route)) {
      const found =
        "decided" in obstacle ? obstacle.decided : askWall(obstacle.wall, obstacle.seen, this.#members);
      directions.push(found);
      if (found.verdict === "allow") continue;
      verdict = "deny";
      if (!this.#askAll) break;
    }
    return { verdict, directions };
  }

  /** The verdicts on packets from all these addresses to all these targets, as {@link verdict} gives them one by one. */
  matrix(sources: readonly Ip[], targets: readonly Target[]): Matrix {
    return computeMatrix(sources, targets, this.#ways, this.#members);
  }

  /** What may decide about packets between any two ends, whatever their protocol and ports. */
  get candidates(): CandidatesOfEnds {
    this.#candidates ??= new CandidatesOfEnds(this.#state, this.#ways, this.#applied, this.#members);
    return this.#candidates;
  }

  /** The tiers that are asked at an endpoint, in their order, each with the policies of it that apply; none for who is unknown. */
  tiersOf(endpoint: string, direction: Direction, category: Category = "normal"): readonly AppliedTier[] {
    const { endpoints, hostEndpoints = [] } = this.#state;
    const found = [...endpoints, ...hostEndpoints].find(one => one.id === endpoint);
    return found ? this.#applied.tiers(found, category, direction) : [];
  }
}
