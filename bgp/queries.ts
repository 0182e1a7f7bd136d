/**
 * What the daemon answers on its status socket about BGP, in both modes, for `calctl bgp`:
 *
 *   GET  /bgp/neighbors[/ADDRESS]                    JSON
 *   GET  /bgp/explain?prefix=                        JSON: every path, and at which step it lost
 *   GET  /bgp/routes?family=&prefix=&received=&advertised=   one JSON value a line; `prefix` may be an address
 *   POST /bgp/refresh?neighbor=&direction=in|out|both, /bgp/reset?neighbor=&message=, /bgp/shutdown-gracefully?neighbor=&on=true|false
 *
 * `neighbor` is an address or `all`. A million routes are no burden: they are made and sent as the reader takes them, a few
 * milliseconds at a time, and the sessions go on in between.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import {
  BgpError,
  type ExplainedPath,
  type Family,
  type NeighborStatus,
  type Route,
  type Speaker,
} from "node-bgp";
import { writeGently } from "../daemon/backpressure.ts";
import { cidrOf, networkAddress, parseCidr, prefixLength } from "../net/cidr.ts";

/** A daemon of either mode. */
export interface BgpSource {
  /** Undefined while there is none. */
  readonly speaker: Speaker | undefined;
  readonly routerId: string | undefined;
  /** Of the daemon, and of what it does; milliseconds since the epoch. */
  readonly startedAt: number;
  readonly configuredAt: number;
  /** What the configuration says of a neighbor and node-bgp does not know. */
  origin(address: string): NeighborOrigin;
}

export interface NeighborOrigin {
  /** What operators call it: `Mesh_10_0_0_2`, or a description. */
  readonly name?: string;
  readonly source?: "mesh" | "node" | "global" | "workload" | "file" | "dynamic";
}

export type NeighborAnswer = NeighborStatus & NeighborOrigin;

/** A path as it is sent: unknown attributes in hexadecimal. */
export interface PathAnswer extends Omit<Route, "unknown"> {
  /** Of the paths of its prefix, the one that was chosen; absent where paths of one neighbor are shown. */
  readonly best?: boolean;
  readonly unknown?: readonly { readonly flags: number; readonly type: number; readonly value: string }[];
}

export type ExplainedAnswer = Omit<ExplainedPath, "unknown"> & PathAnswer;

/** Work on one answer before the event loop is given back. */
const TURN_MS = 4;
/** Looked at together: asking the time for each route would be half of the work. */
const BATCH = 64;

class QueryError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Whether the request is one of these; the answer may still be under way. */
export function serveQueries(source: BgpSource, request: IncomingMessage, response: ServerResponse): boolean {
  const url = new URL(request.url ?? "/", "http://localhost");
  if (!url.pathname.startsWith("/bgp/")) return false;
  void answer(source, request.method ?? "GET", url, response).catch(error => {
    if (response.headersSent) {
      // The reader must not take half an answer for the whole.
      response.destroy();
      return;
    }
    const known = error instanceof QueryError ? error.status : error instanceof BgpError ? 409 : 500;
    response.writeHead(known, { "content-type": "text/plain" }).end(`${(error as Error).message}\n`);
  });
  return true;
}

async function answer(source: BgpSource, method: string, url: URL, response: ServerResponse): Promise<void> {
  const { speaker } = source;
  if (speaker === undefined) throw new QueryError(503, "the speaker is not running");
  const json = (value: unknown) => {
    response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(value)}\n`);
  };
  const [, , what = "", address] = url.pathname.split("/").map(decodeURIComponent);
  switch (`${method} ${what}`) {
    case "GET neighbors":
      if (address === undefined) return json(neighborAnswers(source));
      return json(named(source, neighborOf(speaker, address)));
    case "GET explain":
      return json(explained(speaker, url.searchParams));
    case "GET routes":
      return streamLines(response, paths(speaker, url.searchParams));
    case "POST refresh":
      return json(refresh(speaker, url.searchParams));
    case "POST reset":
      return json(reset(speaker, url.searchParams));
    case "POST shutdown-gracefully":
      return json(shutdownGracefully(speaker, url.searchParams));
    default:
      throw new QueryError(
        404,
        "there is /bgp/neighbors, routes, explain, refresh, reset and shutdown-gracefully",
      );
  }
}

export function neighborAnswers(source: BgpSource): NeighborAnswer[] {
  return source.speaker?.neighbors().map(status => named(source, status)) ?? [];
}

function named(source: BgpSource, status: NeighborStatus): NeighborAnswer {
  return { ...status, ...source.origin(status.address) };
}

function neighborOf(speaker: Speaker, address: string): NeighborStatus {
  const status = speaker.neighbor(address);
  if (status === undefined) throw new QueryError(404, `there is no neighbor ${address}`);
  return status;
}

/** The neighbors meant by `neighbor=`. */
function chosen(speaker: Speaker, parameters: URLSearchParams): string[] {
  const neighbor = parameters.get("neighbor");
  if (neighbor === null) throw new QueryError(400, "neighbor= is missing: an address or all");
  if (neighbor === "all") return speaker.neighbors().map(({ address }) => address);
  return [neighborOf(speaker, neighbor).address];
}

function refresh(speaker: Speaker, parameters: URLSearchParams): { neighbors: string[] } {
  const direction = parameters.get("direction") ?? "both";
  if (!["in", "out", "both"].includes(direction))
    throw new QueryError(400, `direction=${direction} is not in, out or both`);
  const neighbors = chosen(speaker, parameters);
  for (const address of neighbors) {
    if (direction !== "out") speaker.refreshImports(address);
    if (direction !== "in") speaker.refreshExports(address);
  }
  return { neighbors };
}

function reset(speaker: Speaker, parameters: URLSearchParams): { neighbors: string[] } {
  const message = parameters.get("message") ?? undefined;
  const neighbors = chosen(speaker, parameters);
  for (const address of neighbors) speaker.resetNeighbor(address, message);
  return { neighbors };
}

function shutdownGracefully(speaker: Speaker, parameters: URLSearchParams): { neighbors: string[] } {
  const on = parameters.get("on") ?? "true";
  if (on !== "true" && on !== "false") throw new QueryError(400, `on=${on} is not true or false`);
  const neighbors = chosen(speaker, parameters);
  for (const address of neighbors) speaker.setGracefulShutdown(address, on === "true");
  return { neighbors };
}

// --- routes

/** Of a prefix exactly; of an address, of the longest prefix around it. */
function explained(speaker: Speaker, parameters: URLSearchParams): ExplainedAnswer[] {
  const prefix = parameters.get("prefix");
  if (prefix === null) throw new QueryError(400, "prefix= is missing");
  for (const candidate of candidatesFor(prefix)) {
    const paths = speaker.explain(candidate);
    if (paths.length > 0) return paths.map(path => pathAnswer(path));
  }
  return [];
}

const FAMILIES: readonly string[] = ["ipv4-unicast", "ipv6-unicast"];

function paths(speaker: Speaker, parameters: URLSearchParams): Iterable<PathAnswer> {
  const family = parameters.get("family") ?? undefined;
  if (family !== undefined && !FAMILIES.includes(family))
    throw new QueryError(400, `family=${family} is not ${FAMILIES.join(" or ")}`);
  const prefix = parameters.get("prefix") ?? undefined;
  const received = parameters.get("received") ?? undefined;
  const advertised = parameters.get("advertised") ?? undefined;
  if (received !== undefined && advertised !== undefined)
    throw new QueryError(400, "received= and advertised= exclude each other");
  const candidates = prefix === undefined ? undefined : candidatesFor(prefix);
  const neighbor = received ?? advertised;
  if (neighbor !== undefined) {
    const { address } = neighborOf(speaker, neighbor);
    const all = received === undefined ? speaker.advertised(address) : speaker.received(address);
    return answers(candidates === undefined ? all : longest(all, candidates), { family });
  }
  if (prefix === undefined)
    return answers(speaker.routes(family as Family | undefined), { family, best: true });
  return pathsTo(speaker, prefix).map((route, index) => pathAnswer(route, index === 0));
}

/** All paths of a prefix, the best first; of an address, of the longest prefix around it. @throws QueryError */
export function pathsTo(speaker: Speaker, target: string): Route[] {
  for (const candidate of candidatesFor(target)) {
    const found = speaker.paths(candidate);
    if (found.length > 0) return found;
  }
  return [];
}

function* answers(
  routes: Iterable<Route>,
  { family, best }: { family: string | undefined; best?: boolean },
): Generator<PathAnswer> {
  for (const route of routes)
    if (family === undefined || route.family === family) yield pathAnswer(route, best);
}

/** What is looked for: the prefix itself, or for an address every prefix around it, the longest first. */
function candidatesFor(text: string): string[] {
  const block = parseCidr(text);
  if (block === undefined) throw new QueryError(400, `${text} is neither a prefix nor an address`);
  if (text.includes("/")) return [block];
  const address = networkAddress(block);
  return Array.from({ length: prefixLength(block) + 1 }, (_, i) => cidrOf(address, prefixLength(block) - i));
}

function longest(routes: Iterable<Route>, candidates: readonly string[]): Route[] {
  const wanted = new Set(candidates);
  const found = [...routes].filter(({ prefix }) => wanted.has(prefix));
  const first = candidates.find(candidate => found.some(({ prefix }) => prefix === candidate));
  return found.filter(({ prefix }) => prefix === first);
}

function pathAnswer<R extends Route>(
  { unknown, ...route }: R,
  best?: boolean,
): PathAnswer & Omit<R, "unknown"> {
  return {
    ...route,
    ...(best !== undefined && { best }),
    ...(unknown !== undefined && {
      unknown: unknown.map(({ flags, type, value }) => ({
        flags,
        type,
        value: Buffer.from(value).toString("hex"),
      })),
    }),
  };
}

/** One value a line, made while the reader takes them. */
async function streamLines(response: ServerResponse, values: Iterable<unknown>): Promise<void> {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  const iterator = values[Symbol.iterator]();
  let isOpen = true;
  response.on("close", () => {
    isOpen = false;
  });
  for (let done = false; !done && isOpen; ) {
    const end = performance.now() + TURN_MS;
    let text = "";
    while (!done && performance.now() < end) {
      for (let i = 0; i < BATCH && !done; i++) {
        const next = iterator.next();
        done = next.done === true;
        if (!done) text += `${JSON.stringify(next.value)}\n`;
      }
    }
    await writeGently(response, text);
  }
  response.end();
}
