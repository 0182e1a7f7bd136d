/**
 * What a rule of the model matches, as expressions of one IP version. Pure.
 *
 * All criteria are asked for in one rule, lists as sets. Only ports that are given by number and by name, or by several
 * names, are more than one question can ask: those make a rule for each alternative.
 */

import { protocolNumber } from "../../../crd-schemas/index.ts";
import type { Cidr } from "../../../net/cidr.ts";
import { prefixLength } from "../../../net/cidr.ts";
import type { IpVersion } from "../../../net/ip.ts";
import { type EntityMatch, type PortRange, type Rule, ruleForVersion } from "../../../policy/model.ts";
import { mergeRanges } from "../../../policy/port-ranges.ts";
import { coverOf } from "./cover.ts";
import { netList, portList } from "./list-sets.ts";
import {
  type End,
  icmp,
  inAddressPortSet,
  inAddressSet,
  inNet,
  inPortSet,
  inPorts,
  type Match,
  notProtocol,
  protocol,
} from "./match.ts";
import { setName } from "./names.ts";
import type { ListSet } from "./rule.ts";

/** One way to match. */
export interface RuleMatch {
  readonly match: Match;
  readonly lists: readonly ListSet[];
}

/** One of several things that may hold, and that it does not. */
interface Alternative {
  readonly holds: Match;
  readonly fails: Match;
}

/** None where nothing can match. With `exclusive` no packet matches two of them. */
export function ruleMatches(given: Rule, version: IpVersion, exclusive: boolean): RuleMatch[] {
  const model = ruleForVersion(given, version);
  if (model === undefined || !isPossible(model, version)) return [];
  const { source, destination } = model;
  const lists = new Map<string, ListSet>();
  const listed = (list: ListSet): string => {
    lists.set(list.set.name, list);
    return list.set.name;
  };
  const base: Match = [
    ...(model.protocol === undefined ? [] : protocol(protocolNumber(model.protocol))),
    ...(model.notProtocol === undefined ? [] : notProtocol(protocolNumber(model.notProtocol))),
    ...(model.icmp === undefined ? [] : icmp(model.icmp)),
    ...(model.notIcmp === undefined ? [] : icmp(model.notIcmp, false)),
    ...addresses(version, "source", source, listed),
    ...addresses(version, "destination", destination, listed),
    ...excludedPorts(version, "source", source, listed),
    ...excludedPorts(version, "destination", destination, listed),
  ];
  const matches: RuleMatch[] = [];
  const sources = portAlternatives(version, "source", source, listed);
  const destinations = portAlternatives(version, "destination", destination, listed);
  for (const [i, from] of sources.entries()) {
    for (const [j, to] of destinations.entries()) {
      const earlier = exclusive ? [...sources.slice(0, i), ...destinations.slice(0, j)] : [];
      const match = [...base, ...from.holds, ...to.holds, ...earlier.flatMap(({ fails }) => fails)];
      matches.push({ match, lists: [...lists.values()] });
    }
  }
  return matches;
}

function isPossible({ protocol: wanted, notProtocol: unwanted, ...rule }: Rule, version: IpVersion): boolean {
  const everything = (net: Cidr) => prefixLength(net) === 0;
  return (
    (wanted === undefined || wanted !== unwanted) &&
    // ICMP exists in IPv4 only, ICMPv6 in IPv6 only.
    (version === 4 ? wanted !== "ICMPv6" && wanted !== 58 : wanted !== "ICMP" && wanted !== 1) &&
    !rule.source.notNets.some(everything) &&
    !rule.destination.notNets.some(everything)
  );
}

function addresses(
  version: IpVersion,
  end: End,
  entity: EntityMatch,
  listed: (list: ListSet) => string,
): Match {
  const { selector, notSelector, service } = entity;
  return [
    ...nets(version, end, entity.nets, true, listed),
    ...nets(version, end, entity.notNets, false, listed),
    ...(selector ? inAddressSet(version, end, setName(version, selector.id)) : []),
    ...(notSelector ? inAddressSet(version, end, setName(version, notSelector.id), false) : []),
    ...(service && !service.withPorts ? inAddressSet(version, end, setName(version, service.id)) : []),
    ...(service?.withPorts ? inAddressPortSet(version, end, setName(version, service.id)) : []),
  ];
}

function nets(
  version: IpVersion,
  end: End,
  given: readonly Cidr[],
  wanted: boolean,
  listed: (list: ListSet) => string,
): Match {
  const [first, ...others] = coverOf(given);
  if (first === undefined || (wanted && prefixLength(first) === 0)) return [];
  if (others.length === 0) return inNet(version, end, first, wanted);
  return inAddressSet(version, end, listed(netList([first, ...others])), wanted);
}

/** What is excluded adds up in one rule. */
function excludedPorts(
  version: IpVersion,
  end: End,
  { notPorts, notNamedPorts }: EntityMatch,
  listed: (list: ListSet) => string,
): Match {
  return [
    ...(notPorts.length === 0 ? [] : ports(end, notPorts, false, listed)),
    ...notNamedPorts.flatMap(({ id }) => inAddressPortSet(version, end, setName(version, id), false)),
  ];
}

function ports(
  end: End,
  ranges: readonly PortRange[],
  is: boolean,
  listed: (list: ListSet) => string,
): Match {
  const [first, ...others] = mergeRanges(ranges);
  if (first !== undefined && others.length === 0) return inPorts(end, first, is);
  return inPortSet(end, listed(portList(ranges)), is);
}

/** Any port will do: one alternative that asks nothing. */
function portAlternatives(
  version: IpVersion,
  end: End,
  entity: EntityMatch,
  listed: (list: ListSet) => string,
): Alternative[] {
  const alternatives: Alternative[] = entity.namedPorts.map(({ id }) => ({
    holds: inAddressPortSet(version, end, setName(version, id)),
    fails: inAddressPortSet(version, end, setName(version, id), false),
  }));
  if (entity.ports.length > 0) {
    alternatives.unshift({
      holds: ports(end, entity.ports, true, listed),
      fails: ports(end, entity.ports, false, listed),
    });
  }
  return alternatives.length === 0 ? [{ holds: [], fails: [] }] : alternatives;
}
