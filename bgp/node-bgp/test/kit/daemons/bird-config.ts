/** bird.conf from neutral values. Routes are in files of their own, so that they can change with a reload. */

import { Family } from "../../../index.ts";
import { type DaemonNeighbor, type DaemonOptions, familiesOf, type OriginatedRoute } from "./daemon.ts";

export function birdConfig(
  options: DaemonOptions,
  localAddress: (neighbor: DaemonNeighbor) => string,
  folder: string,
): string {
  const kernel = (family: string) =>
    `protocol kernel { persist; graceful restart on; ${family} { import none; export where source = RTS_BGP; }; }`;
  return `
log "${folder}/bird.log" all;
debug protocols { states, events };
router id ${options.routerId};
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; }
${options.kernel ? `${kernel("ipv4")}\n${kernel("ipv6")}` : ""}
protocol static originated4 {
  ipv4;
include "${folder}/originated4.conf";
}
protocol static originated6 {
  ipv6;
include "${folder}/originated6.conf";
}
filter given {
  if source !~ [RTS_STATIC, RTS_BGP] then reject;
  # bird sends a MED to external neighbors only where the export filter has set it.
  if source = RTS_STATIC && defined(bgp_med) then bgp_med = bgp_med;
  accept;
}
${options.neighbors.map(neighbor => protocol(neighbor, options, localAddress(neighbor))).join("\n")}
`;
}

/** The name of a neighbor's protocol. */
export function birdProtocol(neighbor: string): string {
  return `n${neighbor.replace(/[^0-9a-z]/g, "_")}`;
}

function protocol(neighbor: DaemonNeighbor, options: DaemonOptions, local: string): string {
  const { address, asn, holdTime = 90 } = neighbor;
  const lines = [
    `local ${local} as ${neighbor.localAsn ?? options.asn};`,
    // Link-local neighbors are on one interface.
    `neighbor ${address.replace(/%(.*)$/, " % '$1'")} as ${asn};`,
    "direct;",
    `hold time ${holdTime}; startup hold time 10;`,
    "connect delay time 1; connect retry time 1; error wait time 1, 2;",
    "enable extended messages on;",
    `enable as4 ${neighbor.fourOctetAs === false ? "off" : "on"};`,
  ];
  if (neighbor.passive) lines.push("passive on;");
  if (neighbor.password !== undefined) lines.push(`password "${neighbor.password}";`);
  if (neighbor.ttlSecurity) lines.push("ttl security on;");
  if (neighbor.reflectorClient) lines.push("rr client;");
  if (options.clusterId !== undefined) lines.push(`rr cluster id ${options.clusterId};`);
  if (neighbor.gracefulRestart === undefined) lines.push("graceful restart aware;");
  else lines.push(`graceful restart on; graceful restart time ${neighbor.gracefulRestart};`);
  if (neighbor.longLived !== undefined)
    lines.push(`long lived graceful restart on; long lived stale time ${neighbor.longLived};`);
  for (const family of familiesOf(neighbor)) lines.push(channel(family, neighbor, options));
  return `protocol bgp ${birdProtocol(address)} {\n  ${lines.join("\n  ")}\n}`;
}

function channel(family: Family, neighbor: DaemonNeighbor, options: DaemonOptions): string {
  const isIpv4 = family === Family.ipv4Unicast;
  const crosses = isIpv4 === neighbor.address.includes(":");
  const lines = ["import all;", "export filter given;", "gateway direct;"];
  if (crosses && !neighbor.extendedNextHop)
    lines.push(`next hop address ${isIpv4 ? options.address : options.address6};`);
  if (isIpv4 && neighbor.extendedNextHop) lines.push("extended next hop on;");
  const { addPath } = neighbor;
  if (addPath !== undefined) lines.push(`add paths ${{ receive: "rx", send: "tx", both: "on" }[addPath]};`);
  if (neighbor.maxPrefixes !== undefined) lines.push(`import limit ${neighbor.maxPrefixes} action disable;`);
  return `${isIpv4 ? "ipv4" : "ipv6"} { ${lines.join(" ")} };`;
}

/** The contents of a file of routes. */
export function birdRoutes(routes: readonly OriginatedRoute[]): string {
  return routes
    .map(route => `route ${route.prefix} blackhole { ${attributes(route).join(" ")} };\n`)
    .join("");
}

function attributes(route: OriginatedRoute): string[] {
  const pair = (text: string) => `(${text.replaceAll(":", ",")})`;
  const lines: string[] = [];
  for (const asn of [...(route.asPath ?? [])].reverse()) lines.push(`bgp_path.prepend(${asn});`);
  if (route.med !== undefined) lines.push(`bgp_med = ${route.med};`);
  if (route.localPref !== undefined) lines.push(`bgp_local_pref = ${route.localPref};`);
  if (route.origin !== undefined) lines.push(`bgp_origin = ORIGIN_${route.origin.toUpperCase()};`);
  for (const text of route.communities ?? []) lines.push(`bgp_community.add(${pair(text)});`);
  for (const text of route.largeCommunities ?? []) lines.push(`bgp_large_community.add(${pair(text)});`);
  for (const text of route.routeTargets ?? [])
    lines.push(`bgp_ext_community.add((rt,${text.replace(":", ",")}));`);
  return lines;
}
