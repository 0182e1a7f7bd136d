/** All packets from one to the other: what is open, what is closed, and what decides about each. */

import { ipVersion } from "../../../net/ip.ts";
import { decidingSteps, isTunnel } from "../../../policy/flows/deciding-steps.ts";
import type { Peer } from "../../../policy/flows/peers.ts";
import { kindsBetween, type Reach } from "../../../policy/flows/reach.ts";
import { mergeTraffic, type Traffic, trafficText } from "../../../policy/flows/traffic.ts";
import { CommandError } from "../../errors.ts";
import { type Decisions, decisionsOf } from "../simulate/decision.ts";
import { commonAddresses, type NamedEnd } from "../simulate/names.ts";
import type { RuleSources } from "../simulate/rule-sources.ts";

export interface OverviewEntry extends Decisions {
  readonly traffic: readonly Traffic[];
  readonly text: string;
}

export interface Overview {
  readonly from: string;
  readonly to: string;
  readonly decisions: readonly OverviewEntry[];
}

/** @throws CommandError USAGE where the two have no IP version in common */
export function overview(reach: Reach, from: NamedEnd, to: NamedEnd, sources: RuleSources): Overview {
  const ends = commonAddresses(from, to);
  if (ends === undefined)
    throw new CommandError("USAGE", `${from.name} and ${to.name} have no address of the same IP version`);
  const version = ipVersion(ends[0]);
  const kinds = kindsBetween(peerOf(from, reach), peerOf(to, reach), version, [reach]);
  const asked = kinds
    .map(kind => ({ kind, steps: decidingSteps(reach.verdict(...ends, kind)) }))
    .filter(({ steps }) => !isTunnel(steps))
    .map(({ kind, steps }) => ({ kind, decisions: decisionsOf(steps, sources) }));
  const all = asked.map(({ kind }) => kind);
  const alike = Map.groupBy(asked, ({ decisions }) => JSON.stringify(decisions));
  const decisions = [...alike.values()].map(members => {
    const own = members.map(({ kind }) => kind);
    return { traffic: mergeTraffic(own, all), text: trafficText(own, all), ...members[0]!.decisions };
  });
  return { from: from.name, to: to.name, decisions };
}

/** What rules may tell apart at this end. */
function peerOf({ name, addresses }: NamedEnd, reach: Reach): Peer {
  if (reach.endpoint(name)) return { kind: "endpoints", ids: [name] };
  const host = reach.state.hosts?.find(known => addresses.some(address => known.addresses.includes(address)));
  if (host) return { kind: "hosts", names: [host.name] };
  const [address] = addresses;
  return { kind: "outside", version: ipVersion(address!), block: undefined, address: address! };
}
