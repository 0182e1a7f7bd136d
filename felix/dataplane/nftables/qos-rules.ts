/** Limits on what a workload sends and receives, and the DSCP of what it sends out of the cluster. Pure. */

import { u16 } from "../../../linux/nf-tables/data.ts";
import {
  bitwise,
  connectionLimit,
  counter,
  limit,
  payload,
  setPayload,
  verdict,
} from "../../../linux/nf-tables/expression.ts";
import { hostCidr } from "../../../net/cidr.ts";
import { type Ip, type IpVersion, ipVersion } from "../../../net/ip.ts";
import { ANY_INTERFACE, type LocalEndpoint, type LocalHostEndpoint } from "../../calc/changes.ts";
import type { QosLimits } from "../../calc/qos.ts";
import { rejectRules } from "./actions.ts";
import type { RenderContext } from "./context.ts";
import { netList } from "./list-sets.ts";
import {
  byInterface,
  byInterfacePrefix,
  connectionState,
  fromThisHost,
  inAddressSet,
  type Match,
} from "./match.ts";
import { ALL_POOLS, setName } from "./names.ts";
import { doing, plain, type TableRule } from "./rule.ts";

/** Calico's default. */
const PACKET_BURST = 5;

/**
 * What an endpoint may send or receive, whatever policy says. Buckets and counts belong to a rule, so these stand in a
 * chain of their own that is not written again when policies change.
 */
export function limitRules(limits: QosLimits, context: RenderContext): TableRule[] {
  const rules: TableRule[] = [];
  if (limits.packetRate !== undefined) {
    const rate = BigInt(limits.packetRate);
    const over = limit({ rate, burst: limits.packetBurst ?? PACKET_BURST, over: true });
    const comment = "Drop packets over the rate limit";
    rules.push({ expressions: [over, counter(), verdict("drop")], comment });
  }
  if (limits.maxConnections !== undefined) {
    const over = [...connectionState("NEW"), connectionLimit(limits.maxConnections, { over: true })];
    rules.push(...rejectRules(over, "Reject connections over the limit", context));
  }
  return rules;
}

/** How the six bits stand in the first two bytes of the header, which is what the checksum is made of. */
const DSCP = {
  4: { mask: u16(0xff03), shift: 2, checksumOffset: 10 },
  6: { mask: u16(0xf03f), shift: 6, checksumOffset: undefined },
} as const satisfies Record<IpVersion, unknown>;

/** Written into what leaves the cluster: by workloads, by their addresses; by the host itself, by the interface it sends by. */
export function dscpRules(
  endpoints: Iterable<Pick<LocalEndpoint, "addresses" | "qos">>,
  hostEndpoints: ReadonlyMap<string, Pick<LocalHostEndpoint, "dscp">>,
  context: RenderContext,
): TableRule[] {
  const rules = [...workloadRules(endpoints, context), ...hostRules(hostEndpoints, context)];
  if (rules.length === 0) return [];
  const stays = inAddressSet(context.version, "destination", setName(context.version, ALL_POOLS));
  return [plain(stays, "return"), ...rules];
}

/** One rule for each value in use. */
function workloadRules(
  endpoints: Iterable<Pick<LocalEndpoint, "addresses" | "qos">>,
  { version }: RenderContext,
): TableRule[] {
  const sources = new Map<number, Ip[]>();
  for (const { addresses, qos } of endpoints) {
    if (qos?.dscp === undefined) continue;
    const own = addresses.filter(address => ipVersion(address) === version);
    if (own.length > 0) sources.set(qos.dscp, [...(sources.get(qos.dscp) ?? []), ...own]);
  }
  return [...sources]
    .sort(([a], [b]) => a - b)
    .map(([dscp, addresses]) => {
      const list = netList([...new Set(addresses.map(hostCidr))]);
      const match = inAddressSet(version, "source", list.set.name);
      return { ...doing([...match, ...setDscp(dscp, version)], `DSCP ${dscp}`), lists: [list] };
    });
}

function hostRules(
  hostEndpoints: ReadonlyMap<string, Pick<LocalHostEndpoint, "dscp">>,
  { config, version }: RenderContext,
): TableRule[] {
  const written = (match: Match, dscp: number | undefined) =>
    dscp === undefined ? [] : [doing([...match, ...fromThisHost, ...setDscp(dscp, version)], `DSCP ${dscp}`)];
  const named = [...hostEndpoints]
    .filter(([name]) => name !== ANY_INTERFACE)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { dscp }]) => ({ match: byInterface("out", name), dscp }));
  const others = hostEndpoints.get(ANY_INTERFACE)?.dscp;
  const excepted = [
    ...named.map(({ match }) => match),
    ...config.interfacePrefix.map(prefix => byInterfacePrefix("out", prefix)),
  ];
  return [
    ...named.flatMap(({ match, dscp }) => written(match, dscp)),
    ...(others === undefined ? [] : excepted.map(match => plain(match, "return"))),
    ...written([], others),
  ];
}

function setDscp(dscp: number, version: IpVersion): Match {
  const { mask, shift, checksumOffset } = DSCP[version];
  return [
    payload("network", 0, 2),
    bitwise(mask, u16(dscp << shift)),
    setPayload("network", 0, 2, checksumOffset === undefined ? {} : { checksumOffset }),
  ];
}
