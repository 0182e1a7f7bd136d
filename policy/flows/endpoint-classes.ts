/**
 * Endpoints that no policy tells apart: whatever may be asked about one of them has the same answer for the
 * others. A cluster of a thousand pods has a few dozen such classes, so asking per class is what makes asking
 * about everything affordable, and what a person can read.
 *
 * Two endpoints are of one class if the same selectors match them, the same blocks hold their addresses, they
 * are behind the same services, have the same profiles in the same order and, where rules mean ports by name,
 * the same named ports. Host endpoints and what happens on their hosts are told apart by host.
 */

import { type Cidr, contains } from "../../net/cidr.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import { canonicalProtocol, type Rule, type SetRef, setsOf } from "../model.ts";
import type { PolicyState } from "../policy-state.ts";
import type { Selector } from "../selector/index.ts";
import { LabelIndex } from "../selector/label-index.ts";

/** Text that is equal for two endpoints exactly if they are of one class; by endpoint id. */
export function endpointClasses(state: PolicyState): Map<string, string> {
  const sets = new Map<string, SetRef>();
  for (const owner of [...state.policies, ...state.profiles])
    for (const set of setsOf(owner)) sets.set(set.id, set);
  const selected = matchesOf(state, sets.values());
  const blocks = blocksOf(state);
  const servicesOf = serviceMembership(state);
  const names = new Set([...sets.values()].flatMap(set => (set.kind === "named-port" ? [set.name] : [])));
  const perHost = (state.hostEndpoints ?? []).length > 0;
  const numbers = new Map<string, number>();
  const intern = (text: string): number => {
    const known = numbers.get(text) ?? numbers.size;
    numbers.set(text, known);
    return known;
  };
  return new Map(
    state.endpoints.map(endpoint => {
      const { id, addresses, profiles, ports } = endpoint;
      const parts = [
        profiles.join(),
        [...(selected.get(id) ?? [])].sort((a, b) => a - b).join(),
        addresses
          .map(address => `${ipVersion(address)}${blocks.filter(block => contains(block, address)).join()}`)
          .join(";"),
        addresses.flatMap(address => servicesOf.get(address) ?? []).join(),
        ports
          .filter(port => port.name !== undefined && names.has(port.name))
          .map(({ name, protocol, port }) => `${name}/${canonicalProtocol(protocol)}/${port}`)
          .sort()
          .join(),
        perHost ? (endpoint.node ?? "") : "",
      ];
      return [id, String(intern(parts.join("|")))];
    }),
  );
}

/** The selectors that match each endpoint, by number. */
function matchesOf(state: PolicyState, sets: Iterable<SetRef>): Map<string, Set<number>> {
  const matches = new Map<string, Set<number>>(state.endpoints.map(({ id }) => [id, new Set()]));
  const index = new LabelIndex<number, string>({
    matchStarted: (selector, id) => void matches.get(id)!.add(selector),
    matchStopped: (selector, id) => void matches.get(id)!.delete(selector),
  });
  for (const { name, labelsToApply } of state.profiles) index.setParent(name, labelsToApply);
  for (const { id, labels, profiles } of state.endpoints) index.setItem(id, labels, profiles);
  const selectors = new Map<string, Selector>();
  for (const { selector } of state.policies) selectors.set(selector.id, selector);
  for (const set of sets) if (set.kind !== "service") selectors.set(set.selector.id, set.selector);
  for (const [number, selector] of [...selectors.values()].entries()) index.setSelector(number, selector);
  return matches;
}

/** Every block that rules or network sets name, once. */
export function blocksOf(state: PolicyState): Cidr[] {
  const blocks = new Set<Cidr>();
  for (const rule of rulesOf(state))
    for (const { nets, notNets } of [rule.source, rule.destination])
      for (const block of [...nets, ...notNets]) blocks.add(block);
  for (const { nets } of state.networkSets ?? []) for (const block of nets) blocks.add(block);
  return [...blocks];
}

function* rulesOf({ policies, profiles }: Pick<PolicyState, "policies" | "profiles">): Generator<Rule> {
  for (const { ingress, egress } of [...policies, ...profiles]) {
    yield* ingress;
    yield* egress;
  }
}

function serviceMembership({ services }: PolicyState): Map<Ip, string[]> {
  const found = new Map<Ip, string[]>();
  for (const [name, behind] of services ?? [])
    for (const { address, protocol, port } of behind) {
      const known = found.get(address) ?? [];
      known.push(`${name}:${canonicalProtocol(protocol)}/${port}`);
      found.set(address, known);
    }
  return found;
}
