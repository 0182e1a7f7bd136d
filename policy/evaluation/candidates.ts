/** The rules of a wall that the two ends of a packet leave in play, when only its protocol, ports and ICMP type are open. */

import type { Ip } from "../../net/ip.ts";
import { type Membership, matchesHeader, matchesPorts } from "../match.ts";
import type { EntityMatch, Rule } from "../model.ts";
import type { Packet } from "../packet.ts";
import type { PortOfEndpoint } from "../policy-state.ts";
import type { Step } from "../verdict.ts";

/** A rule, or what happens where none matched: without a rule it is everything that comes so far. */
export interface Candidate {
  readonly rule?: Rule;
  /** Undefined for "pass", which goes on at `next`. */
  readonly step?: Step;
  next?: number;
}

/** One and the same object for all ends that leave the same rules. */
export class Candidates {
  readonly number: number;
  /** Ports that rules mean by name or as a service's, at either end. */
  readonly knownPorts: Readonly<Record<"source" | "destination", readonly PortOfEndpoint[]>>;
  readonly #list: readonly Candidate[];
  readonly #ends: Pick<Packet, "source" | "destination">;
  readonly #membership: Membership;

  /** `ends`: two of those that leave these rules. The last candidate is for everything. */
  constructor(
    number: number,
    list: readonly Candidate[],
    ends: { readonly source: Ip; readonly destination: Ip },
    { knownPorts, membership }: Pick<Candidates, "knownPorts"> & { readonly membership: Membership },
  ) {
    this.number = number;
    this.knownPorts = knownPorts;
    this.#list = list;
    this.#ends = ends;
    this.#membership = membership;
  }

  get rules(): Rule[] {
    return this.#list.flatMap(({ rule }) => rule ?? []);
  }

  /** What decides. */
  stepOf(header: Omit<Packet, "source" | "destination">): Step {
    const packet = { ...header, ...this.#ends };
    for (let at = 0; ; ) {
      const { rule, step, next } = this.#list[at]!;
      if (rule !== undefined && !this.#matches(rule, packet)) at++;
      else if (step !== undefined) return step;
      else at = next!;
    }
  }

  #matches(rule: Rule, packet: Packet): boolean {
    const { source, destination, protocol, sourcePort, destinationPort } = packet;
    return (
      matchesHeader(rule, packet) &&
      matchesPorts(rule.source, source, protocol, sourcePort, this.#membership) &&
      matchesPorts(rule.destination, destination, protocol, destinationPort, this.#membership)
    );
  }
}

/** Whether the rule matches every packet between ends that it matches. */
export function asksOnlyEnds({ protocol, notProtocol, icmp, notIcmp, source, destination }: Rule): boolean {
  return (
    [protocol, notProtocol, icmp, notIcmp].every(one => one === undefined) &&
    !asksPorts(source) &&
    !asksPorts(destination)
  );
}

function asksPorts({ ports, notPorts, namedPorts, notNamedPorts, service }: EntityMatch): boolean {
  return (
    ports.length + notPorts.length + namedPorts.length + notNamedPorts.length > 0 ||
    service?.withPorts === true
  );
}
