/** What may decide between any two ends of packets, where nothing stands between them but their own walls as workloads. */

import type { Ip } from "../../net/ip.ts";
import type { PolicyState } from "../policy-state.ts";
import type { AppliedPolicies } from "./applied.ts";
import type { Bits } from "./bits.ts";
import { type Asked, CandidateIndex } from "./candidate-index.ts";
import type { Candidates } from "./candidates.ts";
import type { Members } from "./members.ts";
import type { Party, Ways } from "./way.ts";

/** Undefined where nobody is asked. */
export interface CandidatesBetween {
  readonly egress: Candidates | undefined;
  readonly ingress: Candidates | undefined;
}

/** What is known of an address before the other end is. */
interface End {
  readonly address: Ip;
  readonly party: Party;
  /** As the sender, and as who is sent to. */
  readonly egress: Asked | undefined;
  readonly ingress: Asked | undefined;
  /** Rules of all others' egress that match it as the target, and of their ingress as the sender. */
  readonly asTarget: Bits;
  readonly asSender: Bits;
}

export class CandidatesOfEnds {
  readonly #ways: Ways;
  readonly #egress: CandidateIndex;
  readonly #ingress: CandidateIndex;
  readonly #ends = new Map<Ip, End>();

  constructor({ profiles }: PolicyState, ways: Ways, applied: AppliedPolicies, members: Members) {
    this.#ways = ways;
    this.#egress = new CandidateIndex("egress", applied.all("normal", "egress"), profiles, members);
    this.#ingress = new CandidateIndex("ingress", applied.all("normal", "ingress"), profiles, members);
  }

  /** Undefined where more than the two is asked: hosts on the way, or a floating address. */
  between(source: Ip, destination: Ip): CandidatesBetween | undefined {
    const from = this.#end(source);
    const to = this.#end(destination);
    if (!this.#ways.isDirect(from.party, to.party)) return undefined;
    return {
      egress: from.egress && this.#egress.between(from.egress, to.asTarget, source, destination),
      ingress: to.ingress && this.#ingress.between(to.ingress, from.asSender, source, destination),
    };
  }

  #end(address: Ip): End {
    let end = this.#ends.get(address);
    if (end === undefined) {
      end = this.#makeEnd(address);
      this.#ends.set(address, end);
    }
    return end;
  }

  #makeEnd(address: Ip): End {
    const party = this.#ways.party(address);
    const known = {
      address,
      party,
      asTarget: this.#egress.matchingOther(address),
      asSender: this.#ingress.matchingOther(address),
    };
    if (party.kind !== "workload") return { ...known, egress: undefined, ingress: undefined };
    const { endpoint } = party;
    const { encapsulated } = this.#ways.settings(endpoint.node);
    return {
      ...known,
      egress: this.#egress.askedAt(this.#ways.workloadWall(endpoint, "egress"), address, encapsulated),
      ingress: this.#ingress.askedAt(this.#ways.workloadWall(endpoint, "ingress"), address),
    };
  }
}
