/**
 * What a rule of the model matches, as iptables rules of one IP version. Pure.
 *
 * "What matches" may take more than one iptables rule, where a list of alternatives does not fit into one: iptables
 * takes one CIDR per direction, 15 port slots, and either numbers or a set of named ports. Each such list becomes a block:
 *
 *     clear scratch0, scratch1
 *     alternative 1 -> set scratch0          first block
 *     alternative 2 -> set scratch0
 *     scratch0 and alternative -> scratch1   each further block...
 *     scratch1 clear -> clear scratch0       ...takes back what it does not match
 *     clear scratch1
 *     scratch0 and net -> clear scratch0     each excluded net
 *     scratch0 and the rest -> the action
 */

import { type Rule as IptablesRule, type Port, portSlots, rule } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { EntityMatch, NamedPortRef, PortRange, Rule } from "../../../policy/model.ts";
import type { MarkBits } from "../marks.ts";
import { setName } from "./names.ts";

const MAX_PORT_SLOTS = 15;

export interface RuleMatches {
  /** Rules that prepare the marks. */
  readonly before: readonly IptablesRule[];
  /** What remains to be matched by the rule that acts; it has no target yet. */
  readonly match: IptablesRule;
}

/** Narrows a rule by one alternative. */
type Narrow = (base: IptablesRule) => IptablesRule;

/** Undefined where nothing can match. */
export function ruleMatches(
  model: Rule,
  version: IpVersion,
  marks: Pick<MarkBits, "scratch0" | "scratch1">,
): RuleMatches | undefined {
  if (!protocolOfVersion(model, version) || matchesNothing(model)) return undefined;
  const { source, destination } = model;

  const lists = [
    portAlternatives(source, "source", version),
    portAlternatives(destination, "destination", version),
    source.nets.map(
      (net): Narrow =>
        base =>
          base.source(net),
    ),
    destination.nets.map(
      (net): Narrow =>
        base =>
          base.destination(net),
    ),
  ];
  const blocks = lists.filter(list => list.length > 1);
  const inline = lists.filter(list => list.length === 1).map(list => list[0] as Narrow);
  const excluded: Narrow[] = [];
  for (const [end, { nets, notNets }] of Object.entries({ source, destination })) {
    const within = (base: Pick<IptablesRule, "source" | "destination">, net: string) =>
      end === "source" ? base.source(net) : base.destination(net);
    // A rule has room for one net per end, wanted or excluded.
    if (notNets.length === 1 && nets.length !== 1)
      inline.push(base => within(base.not, notNets[0] as string));
    else for (const net of notNets) excluded.push(base => within(base, net));
  }

  const withProtocol = (base: IptablesRule) =>
    model.protocol === undefined ? base : base.protocol(protocolName(model.protocol));
  const rules: IptablesRule[] = [];
  const scratch = blocks.length > 0 || excluded.length > 0;
  if (scratch) {
    rules.push(rule().clearMark(marks.scratch0 + marks.scratch1));
    for (const [i, block] of blocks.entries()) {
      for (const narrow of block) {
        if (i === 0) rules.push(narrow(withProtocol(rule())).setMark(marks.scratch0));
        else rules.push(narrow(withProtocol(rule().markSet(marks.scratch0))).setMark(marks.scratch1));
      }
      if (i === 0) continue;
      rules.push(rule().markClear(marks.scratch1).clearMark(marks.scratch0));
      rules.push(rule().clearMark(marks.scratch1));
    }
    if (blocks.length === 0) rules.push(rule().setMark(marks.scratch0));
    for (const narrow of excluded)
      rules.push(narrow(rule().markSet(marks.scratch0)).clearMark(marks.scratch0));
  }

  let base = scratch ? rule().markSet(marks.scratch0) : rule();
  for (const [key, value] of Object.entries(model.annotations)) base = base.comment(`${key}=${value}`);
  base = withProtocol(base);
  // Beside a wanted protocol, an excluded one says nothing more, and iptables takes only one.
  if (model.notProtocol !== undefined && model.notProtocol !== 0 && model.protocol === undefined)
    base = base.not.protocol(protocolName(model.notProtocol));
  for (const narrow of inline) base = narrow(base);
  base = matchSets(base, model, version);
  base = matchIcmp(base, model, version);
  return { before: rules, match: base };
}

/** What iptables refuses to say, or, negating a net of length 0, some of its variants get wrong. */
function matchesNothing({ protocol, notProtocol, source, destination }: Rule): boolean {
  const everything = (net: string) => net.endsWith("/0");
  return (
    (protocol !== undefined && protocol === notProtocol) ||
    // To iptables, protocol 0 is all of them; in a header it is IPv6's hop-by-hop options, which end no chain.
    protocol === 0 ||
    source.notNets.some(everything) ||
    destination.notNets.some(everything)
  );
}

function matchSets(base: IptablesRule, { source, destination }: Rule, version: IpVersion): IptablesRule {
  const name = (ref: { readonly id: string }) => setName(version, ref.id);
  let result = base;
  if (source.selector) result = result.sourceSet(name(source.selector));
  if (destination.selector) result = result.destinationSet(name(destination.selector));
  if (source.service)
    result = result.matchSet(name(source.service), source.service.withPorts ? "src,src" : "src");
  if (destination.service)
    result = result.matchSet(name(destination.service), destination.service.withPorts ? "dst,dst" : "dst");
  if (source.notSelector) result = result.not.sourceSet(name(source.notSelector));
  if (destination.notSelector) result = result.not.destinationSet(name(destination.notSelector));
  // What is excluded adds up in one rule, so no list is too long here.
  for (const ports of portChunks(source.notPorts)) result = result.not.sourcePorts(ports);
  for (const ports of portChunks(destination.notPorts)) result = result.not.destinationPorts(ports);
  for (const ref of source.notNamedPorts) result = result.not.matchSet(name(ref), "src,src");
  for (const ref of destination.notNamedPorts) result = result.not.matchSet(name(ref), "dst,dst");
  return result;
}

function matchIcmp(base: IptablesRule, { icmp, notIcmp }: Rule, version: IpVersion): IptablesRule {
  let result = base;
  if (icmp) result = version === 4 ? result.icmp(icmp.type, icmp.code) : result.icmpv6(icmp.type, icmp.code);
  if (notIcmp)
    result =
      version === 4
        ? result.not.icmp(notIcmp.type, notIcmp.code)
        : result.not.icmpv6(notIcmp.type, notIcmp.code);
  return result;
}

/** Each element matches some of the ports asked for; together, all. None: any port will do. */
function portAlternatives(entity: EntityMatch, end: "source" | "destination", version: IpVersion): Narrow[] {
  const numeric = portChunks(entity.ports).map(
    (ports): Narrow =>
      base =>
        end === "source" ? base.sourcePorts(ports) : base.destinationPorts(ports),
  );
  const direction = end === "source" ? "src,src" : "dst,dst";
  const named = entity.namedPorts.map(
    (ref: NamedPortRef): Narrow =>
      base =>
        base.matchSet(setName(version, ref.id), direction),
  );
  return [...numeric, ...named];
}

/** As many ports per list as one iptables match holds. */
function portChunks(ranges: readonly PortRange[]): Port[][] {
  const chunks: Port[][] = [];
  let current: Port[] = [];
  for (const { low, high } of ranges) {
    const port: Port = low === high ? low : [low, high];
    if (portSlots([...current, port]) > MAX_PORT_SLOTS) {
      chunks.push(current);
      current = [];
    }
    current.push(port);
  }
  if (current.length > 0) chunks.push(current);
  return chunks;
}

/** ICMP exists in IPv4 only, ICMPv6 in IPv6 only. */
function protocolOfVersion({ protocol }: Rule, version: IpVersion): boolean {
  if (protocol === "ICMP" || protocol === 1) return version === 4;
  if (protocol === "ICMPv6" || protocol === 58) return version === 6;
  return true;
}

function protocolName(protocol: string | number): string | number {
  return typeof protocol === "number" ? protocol : protocol.toLowerCase();
}
