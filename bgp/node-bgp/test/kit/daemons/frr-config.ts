/**
 * bgpd.conf from neutral values. Attributes of originated routes are route maps, one for each set; they stand before what uses them, as a
 * route map that comes later is only looked at after a delay.
 */

import { createHash } from "node:crypto";
import { Family } from "../../../index.ts";
import { type DaemonNeighbor, type DaemonOptions, familiesOf, type OriginatedRoute } from "./daemon.ts";

export function frrConfig(options: DaemonOptions): string {
  const { asn, routerId, clusterId, neighbors, routes = [] } = options;
  const restart = neighbors.find(({ gracefulRestart }) => gracefulRestart !== undefined)?.gracefulRestart;
  const longLived = neighbors.find(neighbor => neighbor.longLived !== undefined)?.longLived;
  return [
    "frr defaults datacenter",
    "debug bgp neighbor-events",
    ...routeMaps(routes),
    ...neighbors.flatMap(neighbor => neighborMap(neighbor, options)),
    `router bgp ${asn}`,
    ` bgp router-id ${routerId}`,
    ...(clusterId === undefined ? [] : [` bgp cluster-id ${clusterId}`]),
    " no bgp ebgp-requires-policy",
    " no bgp network import-check",
    " no bgp default ipv4-unicast",
    // With none it says End-of-RIB, after a restart, before it has sent its routes.
    ...(restart === undefined ? [" coalesce-time 0"] : []),
    ...(restart === undefined
      ? []
      : [
          " bgp graceful-restart",
          ` bgp graceful-restart restart-time ${restart}`,
          " bgp graceful-restart preserve-fw-state",
          // The N bit of RFC 8538.
          " bgp graceful-restart notification",
        ]),
    ...(longLived === undefined ? [] : [` bgp long-lived-graceful-restart stale-time ${longLived}`]),
    ...neighbors.flatMap(neighbor => frrNeighbor(neighbor, options)),
    ...Object.values(Family).flatMap(family => [
      ` address-family ${frrFamily(family)}`,
      ...neighbors.flatMap(neighbor => activation(neighbor, family)),
      ...routes.filter(route => familyOfRoute(route) === family).map(network),
      " exit-address-family",
    ]),
    "",
  ].join("\n");
}

export function frrFamily(family: Family): string {
  return family === Family.ipv4Unicast ? "ipv4 unicast" : "ipv6 unicast";
}

/** The lines of `router bgp` that make a neighbor; a neighbor that exists takes the changes from them. */
export function frrNeighbor(neighbor: DaemonNeighbor, options: DaemonOptions): string[] {
  const { holdTime = 90, address } = neighbor;
  const isLinkLocal = address.includes("%");
  const name = frrName(address);
  const set = (text: string) => ` neighbor ${name} ${text}`;
  const unset = (text: string) => ` no neighbor ${name} ${text}`;
  return [
    set(isLinkLocal ? `interface remote-as ${neighbor.asn}` : `remote-as ${neighbor.asn}`),
    set(`timers ${Math.max(1, Math.floor(holdTime / 3))} ${holdTime}`),
    set("timers connect 1"),
    set("advertisement-interval 0"),
    ...(isLinkLocal ? [] : [set(`update-source ${neighbor.localAddress ?? sourceOf(neighbor, options)}`)]),
    ...(neighbor.localAsn === undefined ? [] : [set(`local-as ${neighbor.localAsn} no-prepend replace-as`)]),
    neighbor.passive ? set("passive") : unset("passive"),
    neighbor.password === undefined ? unset("password") : set(`password ${neighbor.password}`),
    // It has no other way not to offer 4-octet AS numbers.
    ...(neighbor.fourOctetAs === false ? [set("dont-capability-negotiate")] : []),
    ...(neighbor.ttlSecurity ? [set("ttl-security hops 1")] : []),
    ...(neighbor.extendedNextHop ? [set("capability extended-nexthop")] : []),
    ...(neighbor.gracefulRestart === undefined ? [] : [set("graceful-restart")]),
  ];
}

/** A neighbor's name in commands: its address, or for a link-local one its interface. */
export function frrName(address: string): string {
  return /%(.*)$/.exec(address)?.[1] ?? address;
}

/** Route maps by name, and the lines that make them. */
export function routeMaps(routes: readonly OriginatedRoute[]): string[] {
  const maps = new Map(routes.map(route => [mapName(route), route]));
  return [...maps].flatMap(([name, route]) => [`route-map ${name} permit 10`, ...settings(route)]);
}

export function network(route: OriginatedRoute): string {
  return `  network ${route.prefix} route-map ${mapName(route)}`;
}

export function familyOfRoute({ prefix }: OriginatedRoute): Family {
  return prefix.includes(":") ? Family.ipv6Unicast : Family.ipv4Unicast;
}

function settings(route: OriginatedRoute): string[] {
  const { asPath, med, localPref, origin, communities, largeCommunities, routeTargets } = route;
  const line = (text: string, values: readonly (string | number)[] | undefined) =>
    values === undefined || values.length === 0 ? [] : [` set ${text} ${values.join(" ")}`];
  return [
    ...line("as-path prepend", asPath),
    ...(med === undefined ? [] : line("metric", [med])),
    ...(localPref === undefined ? [] : line("local-preference", [localPref])),
    ...(origin === undefined ? [] : line("origin", [origin])),
    ...line("community", communities),
    ...line("large-community", largeCommunities),
    ...line("extcommunity rt", routeTargets),
  ];
}

/** Equal attributes, equal name. */
function mapName(route: OriginatedRoute): string {
  return `set-${createHash("sha256").update(settings(route).join()).digest("hex").slice(0, 12)}`;
}

function activation(neighbor: DaemonNeighbor, family: Family): string[] {
  if (!familiesOf(neighbor).includes(family)) return [];
  const { addPath, maxPrefixes } = neighbor;
  const name = frrName(neighbor.address);
  const set = (text: string) => `  neighbor ${name} ${text}`;
  return [
    set("activate"),
    set("soft-reconfiguration inbound"),
    ...(neighbor.reflectorClient ? [set("route-reflector-client")] : []),
    ...(addPath === "send" || addPath === "both" ? [set("addpath-tx-all-paths")] : []),
    ...(addPath === "send" ? [set("disable-addpath-rx")] : []),
    ...(maxPrefixes === undefined ? [] : [set(`maximum-prefix ${maxPrefixes}`)]),
    ...(needsNextHop(neighbor, family) ? [set(`route-map ${nextHopMap(neighbor)} out`)] : []),
  ];
}

/** Routes of the other family than the session's need a next hop, of the daemon's own. */
function needsNextHop({ address, extendedNextHop }: DaemonNeighbor, family: Family): boolean {
  const isIpv6 = address.includes(":");
  return isIpv6 ? family === Family.ipv4Unicast && !extendedNextHop : family === Family.ipv6Unicast;
}

function nextHopMap({ address }: DaemonNeighbor): string {
  return `next-hop-${address}`;
}

function neighborMap(neighbor: DaemonNeighbor, { address, address6 }: DaemonOptions): string[] {
  const family = familiesOf(neighbor).find(family => needsNextHop(neighbor, family));
  if (family === undefined) return [];
  const set = family === Family.ipv4Unicast ? `ip next-hop ${address}` : `ipv6 next-hop global ${address6}`;
  return [`route-map ${nextHopMap(neighbor)} permit 10`, ` set ${set}`];
}

function sourceOf({ address }: DaemonNeighbor, options: DaemonOptions): string {
  return address.includes(":") ? options.address6 : options.address;
}
