/** What BIRD 1.6 would answer: a command line and what there is in, text out. Pure; a reply comes in pieces, as a table may be long. */

import { type AsPathSegment, formatAsPath, type NeighborError, type Route } from "node-bgp";
import { type Cidr, cidrVersion, parseCidr } from "../../net/cidr.ts";
import type { NeighborAnswer } from "../queries.ts";
import { longTime, Reply, shortTime } from "./reply.ts";

export interface BirdView {
  /** `calyx-v0.1.0` */
  readonly version: string;
  readonly ipVersion: 4 | 6;
  readonly now: number;
  readonly startedAt: number;
  readonly configuredAt: number;
  readonly routerId: string;
  readonly neighbors: readonly NeighborAnswer[];
  /** Best paths. */
  routes(): Iterable<Route>;
  /** All paths of a prefix, the best first; of an address, of the longest prefix around it. */
  paths(prefix: string): readonly Route[];
}

export function greeting(version: string): string {
  return new Reply().end(1, `BIRD ${version} ready.`);
}

/** Routes in one piece. */
const PIECE = 256;

export function* answer(line: string, view: BirdView): Generator<string> {
  const words = line.trim().split(/\s+/);
  const [verb, what, ...rest] = words;
  if (verb === "restrict") yield new Reply().end(16, "Access restricted");
  else if (verb !== "show") yield refusal(verb);
  else if (what === "protocols") yield protocols(rest, view);
  else if (what === "status") yield status(view);
  else if (what === "route") yield* routes(rest, view);
  else yield refusal(`show ${what ?? ""}`.trim());
}

function refusal(command: string | undefined): string {
  const known = "show protocols, show status, show route";
  return new Reply().end(
    9001,
    `${command ? `${command} is not known here` : "no command"}; there is ${known}`,
  );
}

function status({ version, routerId, now, startedAt, configuredAt }: BirdView): string {
  return new Reply()
    .line(1000, `BIRD ${version}`)
    .line(1011, `Router ID is ${routerId}`)
    .line(1011, `Current server time is ${longTime(now)}`)
    .line(1011, `Last reboot on ${longTime(startedAt)}`)
    .line(1011, `Last reconfiguration on ${longTime(configuredAt)}`)
    .end(13, "Daemon is up and running");
}

// --- protocols

function protocols(words: readonly string[], view: BirdView): string {
  const all = words[0] === "all";
  const pattern = (all ? words[1] : words[0])?.replaceAll(/^"|"$/g, "");
  const chosen = shownNeighbors(view).filter(
    neighbor => pattern === undefined || globMatches(pattern, protocolName(neighbor)),
  );
  const reply = new Reply();
  if (chosen.length === 0 && pattern !== undefined) return reply.end(8003, "No protocols match");
  reply.line(2002, "name     proto    table    state  since       info");
  for (const neighbor of chosen) {
    const { state, since } = neighbor;
    const cells = [
      protocolName(neighbor).padEnd(8),
      "BGP".padEnd(8),
      "master".padEnd(8),
      (state === "Established" ? "up" : "start").padEnd(5),
      ` ${shortTime(since, view.now).padEnd(10)}`,
      ` ${info(neighbor)}`,
    ];
    reply.line(1002, cells.join(" "));
    if (all) reply.line(1006, details(neighbor).join("\n")).line(1006, "");
  }
  return reply.end();
}

/** Each of Calico's two birds knows the neighbors of its own IP version. */
function shownNeighbors({ neighbors, ipVersion }: BirdView): NeighborAnswer[] {
  return neighbors.filter(({ address }) => address.includes(":") === (ipVersion === 6));
}

/** Names say the type to whoever parses them; a neighbor without one is shown as a global peer. */
export function protocolName({ address, name }: Pick<NeighborAnswer, "address" | "name">): string {
  if (name !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  return `Global_${address.replaceAll(/[.:%]/g, "_")}`;
}

/** `Established   ` or `Active        Socket: Connection refused` */
export function info({ state, lastError }: Pick<NeighborAnswer, "state" | "lastError">): string {
  return state.padEnd(14) + (state === "Established" ? "" : errorText(lastError));
}

const ERROR_CLASSES: Readonly<Record<NeighborError["reason"], string>> = {
  "notification-sent": "Error: ",
  "notification-received": "Received: ",
  "connect-failed": "Socket: ",
  "connection-lost": "Socket: ",
  collision: "BGP Error: ",
  "send-hold-expired": "Error: ",
};

function errorText(error: NeighborError | undefined): string {
  return error === undefined ? "" : `${ERROR_CLASSES[error.reason] ?? "Error: "}${error.text}`;
}

function details(neighbor: NeighborAnswer): string[] {
  const { prefixes, description, lastError } = neighbor;
  const lines = [
    ...(description === undefined ? [] : [`Description:    ${description}`]),
    "Preference:     100",
    `Routes:         ${prefixes.received} imported, ${prefixes.advertised} exported`,
    `BGP state:          ${neighbor.state}`,
    `  Neighbor address: ${neighbor.address}`,
    `  Neighbor AS:      ${neighbor.asn}`,
  ];
  if (neighbor.restarting) lines.push("  Neighbor graceful restart active");
  if (neighbor.state === "Established") {
    lines.push(`  Neighbor ID:      ${neighbor.remoteRouterId}`);
    lines.push(`  Session:          ${neighbor.type} AS4`);
    lines.push(`  Source address:   ${neighbor.localAddress}`);
    lines.push(`  Hold timer:       ${neighbor.holdTime}/${neighbor.holdTime}`);
  }
  if (lastError !== undefined) lines.push(`  Last error:       ${errorText(lastError)}`);
  return lines.map(line => `  ${line}`);
}

/** BIRD's patterns: `*` and `?`. */
function globMatches(pattern: string, name: string): boolean {
  const source = pattern
    .replaceAll(/[^\w*?]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(name);
}

// --- routes

interface RouteQuery {
  readonly all: boolean;
  readonly count: boolean;
  readonly prefix: string | undefined;
  readonly protocol: string | undefined;
}

/** Undefined where a word makes no sense. */
function parseRouteQuery(words: readonly string[]): RouteQuery | undefined {
  let [all, count, prefix, protocol] = [
    false,
    false,
    undefined as string | undefined,
    undefined as string | undefined,
  ];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "all") all = true;
    else if (word === "count") count = true;
    else if (word === "primary") continue;
    else if (word === "protocol") protocol = words[++i];
    else if (word === "for") prefix = words[++i]?.split("/")[0];
    else if (parseCidr(word) !== undefined) prefix = word;
    else return undefined;
  }
  return { all, count, prefix, protocol };
}

function* routes(words: readonly string[], view: BirdView): Generator<string> {
  const query = parseRouteQuery(words);
  if (query === undefined) {
    yield refusal(`show route ${words.join(" ")}`);
    return;
  }
  const names = new Map(view.neighbors.map(neighbor => [neighbor.address, neighbor]));
  const nameOf = (route: Route) => {
    const neighbor = names.get(route.source);
    return neighbor === undefined ? "static1" : protocolName(neighbor);
  };
  const reply = new Reply();
  let shown = 0;
  for (const [route, isBest] of wantedRoutes(query, view)) {
    if (query.protocol !== undefined && nameOf(route) !== query.protocol) continue;
    shown++;
    if (query.count) continue;
    reply.line(
      1007,
      routeLine(route, nameOf(route), isBest, names.get(route.source)?.since ?? view.startedAt, view.now),
    );
    if (query.all) reply.line(1008, "\tType: BGP unicast univ").line(1012, attributeLines(route).join("\n"));
    if (shown % PIECE === 0) yield reply.take();
  }
  if (query.count) yield reply.end(14, `${shown} of ${shown} routes for ${shown} networks`);
  else if (shown === 0 && query.prefix !== undefined) yield reply.end(8001, "Network not in table");
  else yield reply.end();
}

function* wantedRoutes({ prefix }: RouteQuery, view: BirdView): Generator<readonly [Route, boolean]> {
  if (prefix !== undefined) {
    for (const [index, route] of view.paths(prefix).entries()) yield [route, index === 0];
    return;
  }
  for (const route of view.routes())
    if (cidrVersion(route.prefix as Cidr) === view.ipVersion) yield [route, true];
}

/** `10.65.1.0/26      via 10.0.0.2 [Mesh_10_0_0_2 12:00:00] * (100) [i]` */
function routeLine(route: Route, name: string, isBest: boolean, since: number, now: number): string {
  const { prefix, nextHop, source, asPath, origin } = route;
  const via = nextHop === undefined ? "blackhole" : `via ${nextHop}`;
  const from = nextHop === undefined || source === nextHop ? "" : ` from ${source}`;
  const last = asPath.at(-1)?.asns.at(-1);
  const letter = { igp: "i", egp: "e", incomplete: "?" }[origin];
  const path = last === undefined ? `[${letter}]` : `[AS${last}${letter}]`;
  return `${prefix.padEnd(18)} ${via} [${name} ${shortTime(since, now)}${from}]${isBest ? " *" : ""} (100) ${path}`;
}

const ORIGINS = { igp: "IGP", egp: "EGP", incomplete: "Incomplete" } as const;

function attributeLines(route: Route): string[] {
  const { origin, asPath, nextHop, med, localPref, communities, originatorId, clusterList } = route;
  const pair = (text: string) => `(${text.replaceAll(":", ",")})`;
  return [
    `\tBGP.origin: ${ORIGINS[origin]}`,
    `\tBGP.as_path: ${pathText(asPath)}`,
    ...(nextHop === undefined ? [] : [`\tBGP.next_hop: ${nextHop}`]),
    ...(med === undefined ? [] : [`\tBGP.med: ${med}`]),
    `\tBGP.local_pref: ${localPref ?? 100}`,
    ...(communities?.length ? [`\tBGP.community: ${communities.map(pair).join(" ")}`] : []),
    ...(originatorId === undefined ? [] : [`\tBGP.originator_id: ${originatorId}`]),
    ...(clusterList?.length ? [`\tBGP.cluster_list: ${clusterList.join(" ")}`] : []),
  ];
}

const pathText = (path: readonly AsPathSegment[]) => formatAsPath(path);
