/**
 * Answers over HTTP what a speaker knows. It takes everything from its neighbor and tells it nothing.
 *
 *   node looking-glass.ts --as 64512 --router-id 192.0.2.1 --neighbor 192.0.2.254 --neighbor-as 65000 --http 8080
 *
 *   GET /neighbors            their states and counters
 *   GET /route/8.8.8.8        the most specific route to an address, with every path
 *   GET /route/8.8.8.0/24     the same for one prefix
 *   GET /routes?limit=100     best routes
 */

import { createServer } from "node:http";
import process from "node:process";
import { parseArgs } from "node:util";
import { acceptAll, Family, type Route, rejectAll, Speaker } from "node-bgp";

const { values } = parseArgs({
  options: {
    as: { type: "string", default: "64512" },
    "router-id": { type: "string", default: "192.0.2.1" },
    neighbor: { type: "string", default: "192.0.2.254" },
    "neighbor-as": { type: "string", default: "65000" },
    port: { type: "string", default: "179" },
    http: { type: "string", default: "8080" },
  },
});

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());

const speaker = new Speaker({ asn: Number(values.as), routerId: values["router-id"], listen: false });
speaker.addNeighbor({
  address: values.neighbor,
  asn: Number(values["neighbor-as"]),
  port: Number(values.port),
  families: Object.values(Family),
  importPolicy: acceptAll,
  exportPolicy: rejectAll,
});
await speaker.start({ signal: stop.signal });

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  let answer: unknown;
  try {
    answer = answerTo(decodeURIComponent(url.pathname), url.searchParams);
  } catch {
    // What is no address and no prefix has no route.
  }
  response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
  response.end(`${JSON.stringify(answer ?? { error: "not found" }, undefined, 2)}\n`);
});
server.listen(Number(values.http), () => console.log(`listening on port ${values.http}`));
stop.signal.addEventListener("abort", () => server.close());

function answerTo(path: string, query: URLSearchParams): unknown {
  if (path === "/neighbors") return speaker.neighbors();
  if (path === "/routes") return firstRoutes(Number(query.get("limit") ?? 100));
  if (!path.startsWith("/route/")) return undefined;
  const asked = path.slice("/route/".length);
  for (const prefix of asked.includes("/") ? [asked] : covering(asked)) {
    const paths = speaker.paths(prefix);
    if (paths[0] !== undefined) return { prefix: paths[0].prefix, paths };
  }
  return undefined;
}

function firstRoutes(limit: number): Route[] {
  const routes: Route[] = [];
  for (const route of speaker.routes()) if (routes.push(route) >= limit) break;
  return routes;
}

/** Every prefix an address lies in, the longest first. */
function covering(address: string): string[] {
  const bits = address.includes(":") ? 128 : 32;
  return Array.from({ length: bits + 1 }, (_, i) => `${address}/${bits - i}`);
}
