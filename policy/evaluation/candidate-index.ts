/**
 * For any two ends the rules of a wall that may decide between them (candidates.ts), found with bits.
 *
 * Every rule has a number, in the order of evaluation. Three sets of numbers are kept, and what they have in common are the
 * candidates: the rules that apply at the wall, those that match the end whose wall it is, and those that match the other
 * end. So a pair costs a few machine words, also where no two endpoints have the same policies, and what is said about the
 * candidates is worked out once for all pairs that have the same. Guarded by test/bench/simulate.ts.
 */

import type { Ip } from "../../net/ip.ts";
import {
  ANY_ENTITY,
  type Direction,
  type EntityMatch,
  type NamedPortRef,
  type Policy,
  type Profile,
  policyKey,
  type Rule,
  type ServiceRef,
} from "../model.ts";
import type { HostSettings, PortOfEndpoint } from "../policy-state.ts";
import type { Step } from "../verdict.ts";
import type { AppliedTier } from "./applied.ts";
import { Bits } from "./bits.ts";
import { asksOnlyEnds, type Candidate, Candidates } from "./candidates.ts";
import type { Members } from "./members.ts";
import { RulesByAddress } from "./rules-by-address.ts";
import { step } from "./walk.ts";
import type { Wall } from "./wall.ts";

const IPIP = 4;
const MANY_WORDS = 8;

type End = "source" | "destination";

const ENDS: Readonly<Record<Direction, readonly [self: End, other: End]>> = {
  egress: ["source", "destination"],
  ingress: ["destination", "source"],
};

/** What is asked at a wall, as far as the end whose wall it is matches. */
export interface Asked {
  readonly wall: Wall;
  /** Before any rule. */
  readonly refused: readonly Candidate[];
  /** Words of the bits in which there is one, by place. */
  readonly places: Uint32Array;
  readonly words: Uint32Array;
  readonly byWords: Map<number, Left>;
  /** Where there are so many words that it pays. */
  readonly byOther: Map<Bits, Left>;
}

/** What two ends leave of it. */
interface Left {
  readonly words: Uint32Array;
  readonly numbers: readonly number[];
  /** Rules about ports by name: which ports these are depends on the ends again. */
  readonly byPorts: readonly Rule[];
  readonly byKnownPorts: Map<string, Candidates>;
  /** Where there are no such rules. */
  candidates?: Candidates;
  /** The next with the same hash. */
  readonly alike: Left | undefined;
}

export class CandidateIndex {
  readonly #direction: Direction;
  readonly #members: Members;
  readonly #rules: Rule[] = [];
  readonly #steps: (Step | undefined)[] = [];
  readonly #firstOf = new Map<Policy | Profile, number>();
  readonly #tierOf: string[] = [];
  readonly #passing = new Set<Policy | Profile>();
  /** By the end whose wall it is, and by the other one. */
  readonly #selves: RulesByAddress;
  readonly #others: RulesByAddress;
  readonly #sameAsked = new Map<string, Asked>();
  readonly #sameList = new Map<string, Candidates>();
  readonly #defaults = new Map<string, Step>();

  /** `tiers`: all there are, with all policies that are asked at workloads, in order. */
  constructor(
    direction: Direction,
    tiers: readonly AppliedTier[],
    profiles: readonly Profile[],
    members: Members,
  ) {
    this.#direction = direction;
    this.#members = members;
    for (const { name, policies } of tiers)
      for (const policy of policies) {
        const key = policyKey(policy.id);
        this.#number(policy, name, rule => ({ kind: "policy", tier: name, policy: key, rule }));
      }
    for (const profile of profiles)
      this.#number(profile, "", rule => ({ kind: "profile", profile: profile.name, rule }));
    const [self, other] = ENDS[direction];
    this.#selves = new RulesByAddress(this.#rules, self, members);
    this.#others = new RulesByAddress(this.#rules, other, members);
  }

  /** `encapsulated`: which tunnels the workload may make, where it is the one that sends. */
  askedAt(wall: Wall, self: Ip, encapsulated?: HostSettings["encapsulated"]): Asked {
    return this.#ask(wall, self, encapsulated ? refusedTunnels(encapsulated) : []);
  }

  /** Rules that match the address as the other end. */
  matchingOther(address: Ip): Bits {
    return this.#others.matching(address);
  }

  /** At the wall of one of the two ends; `other` is what matches the other one. */
  between(asked: Asked, other: Bits, source: Ip, destination: Ip): Candidates {
    let left = asked.byOther.get(other);
    if (left === undefined) {
      left = this.#left(asked, other.words);
      if (asked.words.length > MANY_WORDS) asked.byOther.set(other, left);
    }
    return left.candidates ?? this.#candidates(asked, left, source, destination);
  }

  #number(owner: Policy | Profile, tier: string, reason: (rule: number) => Step["reason"]): void {
    this.#firstOf.set(owner, this.#rules.length);
    if (owner[this.#direction].some(({ action }) => action === "pass")) this.#passing.add(owner);
    for (const [i, rule] of owner[this.#direction].entries()) {
      this.#rules.push(rule);
      this.#tierOf.push(tier);
      const { action } = rule;
      this.#steps.push(action === "pass" ? undefined : step(action, reason(i), { category: undefined }));
    }
  }

  #ask(wall: Wall, self: Ip, refused: readonly Candidate[]): Asked {
    const bits = Bits.none(this.#rules.length);
    const tiers = wall.stages.flatMap(stage => stage.tiers);
    // Where nothing goes on behind a tier, workloads are asked the same whatever their profiles.
    const isClosed = tiers.some(
      ({ defaultAction, policies }) =>
        defaultAction === "deny" && !policies.some(policy => this.#passing.has(policy)),
    );
    const profiles = isClosed ? [] : wall.profiles;
    for (const owner of [...tiers.flatMap(tier => tier.policies), ...profiles]) {
      const first = this.#firstOf.get(owner)!;
      for (let i = 0; i < owner[this.#direction].length; i++) bits.add(first + i);
    }
    bits.and(this.#selves.matching(self));
    const places = Uint32Array.from([...bits.words.keys()].filter(place => bits.words[place] !== 0));
    const words = places.map(place => bits.words[place]!);
    const names = [...tiers, ...profiles].map(({ name }) => name);
    const key = JSON.stringify([names, tiers.length, [...places], [...words], refused]);
    const asked = this.#sameAsked.get(key) ?? {
      wall,
      refused,
      places,
      words,
      byWords: new Map(),
      byOther: new Map(),
    };
    this.#sameAsked.set(key, asked);
    return asked;
  }

  #left({ places, words, byWords }: Asked, other: Uint32Array): Left {
    let hash = 0;
    for (let i = 0; i < words.length; i++) {
      hash = (Math.imul(hash, 31) + (words[i]! & other[places[i]!]!)) | 0;
    }
    for (let found = byWords.get(hash); found !== undefined; found = found.alike) {
      let i = 0;
      while (i < words.length && found.words[i] === (words[i]! & other[places[i]!]!) >>> 0) i++;
      if (i === words.length) return found;
    }
    const left = words.map((word, i) => word & other[places[i]!]!);
    const numbers = placesOf(left, places);
    const byPorts = numbers.map(number => this.#rules[number]!).filter(rule => portSets(rule).length > 0);
    const found = { words: left, numbers, byPorts, byKnownPorts: new Map(), alike: byWords.get(hash) };
    byWords.set(hash, found);
    return found;
  }

  #candidates(asked: Asked, left: Left, source: Ip, destination: Ip): Candidates {
    const portsAt = (end: End, address: Ip): PortOfEndpoint[] =>
      left.byPorts.flatMap(rule =>
        portSetsOf(rule[end]).flatMap(set => [...this.#members.portsAt(set, address)]),
      );
    const knownPorts = {
      source: portsAt("source", source),
      destination: portsAt("destination", destination),
    };
    const named = left.byPorts.map(rule =>
      [rule.source, rule.destination].map((entity, i) =>
        portSetsOf(entity).map(set => this.#members.portsAt(set, i === 0 ? source : destination)),
      ),
    );
    const ports = named.length === 0 ? "" : JSON.stringify(named);
    let candidates = left.byKnownPorts.get(ports);
    if (candidates === undefined) {
      const [list, text] = this.#list(asked, left.numbers);
      const key = `${text} ${ports}`;
      candidates =
        this.#sameList.get(key) ??
        new Candidates(
          this.#sameList.size,
          list,
          { source, destination },
          { knownPorts, membership: this.#members },
        );
      this.#sameList.set(key, candidates);
      left.byKnownPorts.set(ports, candidates);
      if (left.byPorts.length === 0) left.candidates = candidates;
    }
    return candidates;
  }

  /** In their order, up to the first that leaves nothing; and text that is equal for equal lists. */
  #list({ wall, refused }: Asked, numbers: readonly number[]): [Candidate[], string] {
    const list: Candidate[] = [...refused];
    const names: (number | string)[] = [JSON.stringify(refused)];
    const push = (name: number | string, candidate: Candidate): void => {
      names.push(name);
      list.push(candidate);
    };
    /** What one tier or profile does with what comes to it: whether anything goes on behind it. */
    const block = (own: readonly number[], end: Step | undefined): boolean => {
      const first = list.length;
      let isEnded = false;
      let passes = false;
      for (const number of own) {
        const rule = this.#rules[number]!;
        const decided = this.#steps[number];
        push(number, { rule, ...(decided && { step: decided }) });
        passes ||= decided === undefined;
        isEnded = asksOnlyEnds(rule);
        if (isEnded) break;
      }
      if (!isEnded && end !== undefined) push(JSON.stringify(end.reason), { step: end });
      for (let i = first; i < list.length; i++) list[i]!.next = list.length;
      names.push("/");
      return passes || !(isEnded || end !== undefined);
    };
    const byTier = Map.groupBy(numbers, number => this.#tierOf[number]!);
    for (const { name, defaultAction } of wall.stages.flatMap(stage => stage.tiers)) {
      const end = defaultAction === "deny" ? this.#default({ kind: "tier-default", tier: name }) : undefined;
      if (!block(byTier.get(name) ?? [], end)) return [list, names.join()];
    }
    const ofProfiles = byTier.get("") ?? [];
    for (const profile of wall.profiles) {
      const first = this.#firstOf.get(profile)!;
      const own = ofProfiles.filter(
        number => first <= number && number < first + profile[this.#direction].length,
      );
      if (!block(own, undefined)) return [list, names.join()];
    }
    block([], this.#default({ kind: "no-profile" }));
    return [list, names.join()];
  }

  #default(reason: Step["reason"]): Step {
    const key = JSON.stringify(reason);
    const known = this.#defaults.get(key) ?? step("deny", reason, { category: undefined });
    this.#defaults.set(key, known);
    return known;
  }
}

const ENCAPSULATED: Step = { action: "deny", reason: { kind: "encapsulated" } };

/** As rules, though nobody wrote them. */
function refusedTunnels({ vxlan, vxlanPort, ipip }: HostSettings["encapsulated"]): Candidate[] {
  const rule = { action: "deny", source: ANY_ENTITY, annotations: {} } as const;
  const ports = [{ low: vxlanPort, high: vxlanPort }];
  return [
    ...(vxlan ? [] : [{ ...rule, protocol: "UDP", destination: { ...ANY_ENTITY, ports } } as const]),
    ...(ipip ? [] : [{ ...rule, protocol: IPIP, destination: ANY_ENTITY }]),
  ].map(refusing => ({ rule: refusing, step: ENCAPSULATED }));
}

function placesOf(words: Uint32Array, places: Uint32Array): number[] {
  const found: number[] = [];
  new Bits(words).forEach(i => {
    found.push((places[i >>> 5]! << 5) + (i & 31));
  });
  return found;
}

function portSets({ source, destination }: Rule): (NamedPortRef | ServiceRef)[] {
  return [...portSetsOf(source), ...portSetsOf(destination)];
}

function portSetsOf({ namedPorts, notNamedPorts, service }: EntityMatch): (NamedPortRef | ServiceRef)[] {
  return [...namedPorts, ...notNamedPorts, ...(service?.withPorts ? [service] : [])];
}
