/**
 * Who may reach what, all at once: many senders, many targets, the same verdicts as asked one by one.
 *
 * A wall at a sender is walked once for all targets together, and one at a target once for all senders: a rule then costs
 * a few machine words instead of a question for each packet. What the walls have in common is computed once as well
 * (rule-bits.ts). So the cost is walls times the rules that apply there, and little more for each pair; with 1,000 pods
 * and 1,000 policies that is what keeps a million pairs within seconds (test/bench/simulate.ts).
 *
 * Memory: eight bytes for each pair, and four more while it is computed.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import type { Ip } from "../../net/ip.ts";
import { canonicalProtocol, type Direction, policyKey, type Rule } from "../model.ts";
import type { Packet } from "../packet.ts";
import type { Reason, Step } from "../verdict.ts";
import { Bits } from "./bits.ts";
import type { Members } from "./members.ts";
import { EndBits, HeaderBits } from "./rule-bits.ts";
import { askWall, type Exempt, exemption, step } from "./walk.ts";
import type { Stage, Wall } from "./wall.ts";
import { hostOf, type Obstacle, type Party, type Ways, type WorkloadParty } from "./way.ts";

/** Where packets are sent. */
export interface Target {
  readonly address: Ip;
  readonly protocol: Protocol;
  readonly port?: number;
  readonly icmp?: Packet["icmp"];
}

/** The steps that decided, at the sender's side and at the target's; undefined where nobody was asked. */
export interface Decision {
  readonly verdict: "allow" | "deny";
  readonly egress: Step | undefined;
  readonly ingress: Step | undefined;
}

export class Matrix {
  readonly sources: readonly Ip[];
  readonly targets: readonly Target[];
  /** Places in the list of steps, by source and target; 0 is none. */
  readonly #egress: Uint32Array;
  readonly #ingress: Uint32Array;
  readonly #steps: readonly (Step | undefined)[];

  constructor(
    sources: readonly Ip[],
    targets: readonly Target[],
    decisions: { egress: Uint32Array; ingress: Uint32Array; steps: readonly (Step | undefined)[] },
  ) {
    this.sources = sources;
    this.targets = targets;
    this.#egress = decisions.egress;
    this.#ingress = decisions.ingress;
    this.#steps = decisions.steps;
  }

  /** Both sides are asked, also behind one that denies. By places in `sources` and `targets`. */
  decision(source: number, target: number): Decision {
    const at = source * this.targets.length + target;
    const egress = this.#steps[this.#egress[at]!];
    const ingress = this.#steps[this.#ingress[at]!];
    const denied = egress?.action === "deny" || ingress?.action === "deny";
    return { verdict: denied ? "deny" : "allow", egress, ingress };
  }

  allows(source: number, target: number): boolean {
    return this.decision(source, target).verdict === "allow";
  }
}

export function computeMatrix(
  sources: readonly Ip[],
  targets: readonly Target[],
  ways: Ways,
  members: Members,
): Matrix {
  return new MatrixWalk(sources, targets, ways, members).compute();
}

/** A wall as one side of it sees the other. */
interface View {
  readonly size: number;
  /** Whether the end that stands still matches, and which of the others do; undefined for none. */
  readonly others: (rule: Rule, self: number) => Bits | undefined;
  readonly packet: (self: number, other: number) => Packet;
}

class MatrixWalk {
  readonly #sources: readonly Ip[];
  readonly #targets: readonly Target[];
  /** A packet to each target, whoever sends it. */
  readonly #headers: readonly Packet[];
  readonly #ways: Ways;
  readonly #members: Members;
  readonly #steps: (Step | undefined)[] = [undefined];
  readonly #stepNumbers = new Map<unknown, Map<string, number>>();
  readonly #forbidden = new Map<string | undefined, Bits>();
  readonly #fromSource: View;
  readonly #fromTarget: View;

  constructor(sources: readonly Ip[], targets: readonly Target[], ways: Ways, members: Members) {
    this.#sources = sources;
    this.#targets = targets.map(target => ({ ...target, protocol: canonicalProtocol(target.protocol)! }));
    this.#ways = ways;
    this.#members = members;
    const senders = new EndBits(
      sources.map(address => ({ address })),
      members,
    );
    const receivers = new EndBits(this.#targets, members);
    this.#headers = this.#targets.map((_, t) => this.#packet(0, t));
    const headers = new HeaderBits(this.#headers);
    const whole = new Map<Rule, Bits>();
    const receiversOf = (rule: Rule): Bits => {
      let bits = whole.get(rule);
      if (bits === undefined) {
        bits = receivers.matching(rule.destination).copy().and(headers.matching(rule));
        whole.set(rule, bits);
      }
      return bits;
    };
    this.#fromSource = {
      size: targets.length,
      others: (rule, s) => (senders.matching(rule.source).has(s) ? receiversOf(rule) : undefined),
      packet: (s, t) => this.#packet(s, t),
    };
    this.#fromTarget = {
      size: sources.length,
      others: (rule, t) => (receiversOf(rule).has(t) ? senders.matching(rule.source) : undefined),
      packet: (t, s) => this.#packet(s, t),
    };
  }

  compute(): Matrix {
    const width = this.#targets.length;
    const egress = new Uint32Array(this.#sources.length * width);
    const ingress = new Uint32Array(this.#sources.length * width);
    const columns = this.#targets.map(() => new Map<Wall, Uint32Array>());
    const receivers = this.#targets.map(target => this.#ways.party(target.address));
    const own: (Uint32Array | undefined)[] = this.#targets.map(() => undefined);
    for (const [s, source] of this.#sources.entries()) {
      const sender = this.#ways.party(source);
      const rows = new Map<Wall, Uint32Array>();
      let row: Uint32Array | undefined;
      const forbidden = this.#forbiddenTo(sender);
      for (let t = 0; t < width; t++) {
        const at = s * width + t;
        const receiver = receivers[t]!;
        if (this.#ways.isDirect(sender, receiver) && !forbidden.has(t)) {
          if (sender.kind === "workload") {
            row ??= this.#walkedAt(sender, "egress", rows, s);
            egress[at] = row[t]!;
          }
          if (receiver.kind === "workload") {
            own[t] ??= this.#walkedAt(receiver, "ingress", columns[t]!, t);
            ingress[at] = own[t]![s]!;
          }
          continue;
        }
        for (const obstacle of this.#ways.obstacles(this.#packet(s, t), {})) {
          const [direction, number] = this.#ask(obstacle, s, t, rows, columns[t]!);
          put(direction === "egress" ? egress : ingress, at, number, this.#steps);
        }
      }
    }
    return new Matrix(this.#sources, this.#targets, { egress, ingress, steps: this.#steps });
  }

  #ask(
    obstacle: Obstacle,
    s: number,
    t: number,
    rows: Map<Wall, Uint32Array>,
    column: Map<Wall, Uint32Array>,
  ): [Direction, number] {
    if ("decided" in obstacle) {
      const { trace, direction } = obstacle.decided;
      return [direction, this.#numberOf(trace.at(-1)!)];
    }
    const { wall, seen } = obstacle;
    const { direction } = wall;
    // One whose destination is translated on the way is nobody's row or column.
    if (seen.before !== seen.after || seen.after.destination !== this.#targets[t]!.address)
      return [direction, this.#numberOf(askWall(wall, seen, this.#members).trace.at(-1)!)];
    const number =
      direction === "egress"
        ? this.#walked(rows, wall, s, this.#fromSource)[t]!
        : this.#walked(column, wall, t, this.#fromTarget)[s]!;
    return [direction, number];
  }

  /** At the workload's own wall. */
  #walkedAt(
    { endpoint }: WorkloadParty,
    direction: Direction,
    walked: Map<Wall, Uint32Array>,
    self: number,
  ): Uint32Array {
    const view = direction === "egress" ? this.#fromSource : this.#fromTarget;
    return this.#walked(walked, this.#ways.workloadWall(endpoint, direction), self, view);
  }

  /** Targets that the sender's host keeps it from, whatever policy says. */
  #forbiddenTo(sender: Party): Bits {
    const host = hostOf(sender);
    let forbidden = this.#forbidden.get(host);
    if (forbidden === undefined) {
      forbidden = Bits.where(this.#targets.length, t =>
        this.#ways.isForbiddenTunnel(host, this.#headers[t]!),
      );
      this.#forbidden.set(host, forbidden);
    }
    return forbidden;
  }

  #walked(walked: Map<Wall, Uint32Array>, wall: Wall, self: number, view: View): Uint32Array {
    let decisions = walked.get(wall);
    if (decisions === undefined) {
      decisions = this.#walk(wall, self, view);
      walked.set(wall, decisions);
    }
    return decisions;
  }

  /** The wall for one end that stands still and all that are opposite: for each of them the number of the deciding step. */
  #walk(wall: Wall, self: number, view: View): Uint32Array {
    const decisions = new Uint32Array(view.size);
    const decide = (bits: Bits, number: number): void =>
      bits.forEach(i => {
        decisions[i] = number;
      });
    const open = Bits.all(view.size);
    for (const stage of wall.stages) {
      const exempt = this.#exempt(wall, stage, self, view);
      for (const [, bits] of exempt) open.remove(bits);
      this.#walkTiers(wall, stage, self, view, open, decide);
      if (stage.end === "continue") {
        for (const [, bits] of exempt) open.or(bits);
        continue;
      }
      for (const [kind, bits] of exempt) decide(bits, this.#number("allow", { kind }, stage));
      if (stage.end === "profiles") this.#walkProfiles(wall, stage, self, view, open, decide);
      else decide(open, this.#number("allow", { kind: "forward-default" }, stage));
    }
    return decisions;
  }

  /** Takes out of `open` what the tiers decide. */
  #walkTiers(
    wall: Wall,
    stage: Stage,
    self: number,
    view: View,
    open: Bits,
    decide: (bits: Bits, number: number) => void,
  ): void {
    for (const tier of stage.tiers) {
      const here = open.copy();
      for (const policy of tier.policies) {
        if (here.empty) break;
        for (const [i, rule] of policy[wall.direction].entries()) {
          if (rule.action === "log") continue;
          const others = view.others(rule, self);
          if (others === undefined) continue;
          const hit = here.copy().and(others);
          if (hit.empty) continue;
          here.remove(hit);
          if (rule.action === "pass") continue;
          open.remove(hit);
          decide(
            hit,
            this.#ruleNumber(rule, stage, () => policyReason(tier.name, policyKey(policy.id), i)),
          );
        }
      }
      if (stage.tiersPass || tier.defaultAction === "pass") continue;
      open.remove(here);
      decide(here, this.#number("deny", { kind: "tier-default", tier: tier.name }, stage));
    }
  }

  #walkProfiles(
    { profiles, direction }: Wall,
    stage: Stage,
    self: number,
    view: View,
    open: Bits,
    decide: (bits: Bits, number: number) => void,
  ): void {
    for (const profile of profiles) {
      const here = open.copy();
      for (const [i, rule] of profile[direction].entries()) {
        if (rule.action === "log") continue;
        const others = view.others(rule, self);
        if (others === undefined) continue;
        const hit = here.copy().and(others);
        here.remove(hit);
        if (rule.action === "pass") continue;
        open.remove(hit);
        decide(
          hit,
          this.#ruleNumber(rule, stage, () => ({ kind: "profile", profile: profile.name, rule: i })),
        );
      }
    }
    decide(open, this.#number("deny", { kind: "no-profile" }, stage));
  }

  #exempt({ direction }: Wall, stage: Stage, self: number, view: View): [Exempt, Bits][] {
    if (stage.category === undefined || stage.category === "forward") return [];
    const kinds: readonly Exempt[] = ["failsafe", "neighbor-discovery"];
    return kinds.map(kind => [
      kind,
      Bits.where(view.size, other => exemption(stage, direction, view.packet(self, other)) === kind),
    ]);
  }

  #packet(s: number, t: number): Packet {
    const { address, protocol, port, icmp } = this.#targets[t]!;
    return {
      source: this.#sources[s] ?? address,
      destination: address,
      protocol,
      ...(port !== undefined && { destinationPort: port }),
      ...(icmp && { icmp }),
    };
  }

  /** A rule's step is the same at whichever endpoint it decides. */
  #ruleNumber(rule: Rule, stage: Stage, reason: () => Reason): number {
    return this.#interned(rule, stage.category ?? "", () => step(rule.action, reason(), stage));
  }

  #number(action: Step["action"], reason: Reason, stage: Stage): number {
    return this.#numberOf(step(action, reason, stage));
  }

  #numberOf(one: Step): number {
    return this.#interned("", JSON.stringify(one), () => one);
  }

  #interned(of: unknown, name: string, make: () => Step): number {
    const numbers = this.#stepNumbers.get(of) ?? new Map<string, number>();
    this.#stepNumbers.set(of, numbers);
    let number = numbers.get(name);
    if (number === undefined) {
      number = this.#steps.push(make()) - 1;
      numbers.set(name, number);
    }
    return number;
  }
}

function policyReason(tier: string, policy: string, rule: number): Reason {
  return { kind: "policy", tier, policy, rule };
}

/** Of several walls on one side the first that denies decides, else the last. */
function put(side: Uint32Array, at: number, number: number, steps: readonly (Step | undefined)[]): void {
  if (steps[side[at]!]?.action !== "deny") side[at] = number;
}
