/**
 * Takes every route of its neighbors, announces nothing, and prints what changes as lines of JSON: the snapshot first, then live.
 *
 *   node route-collector.ts --as 64512 --router-id 192.0.2.1 --neighbor 192.0.2.254=65000 --neighbor 2001:db8::1=65000 | jq .
 */

import { once } from "node:events";
import process from "node:process";
import { parseArgs } from "node:util";
import { acceptAll, Family, formatAsPath, rejectAll, Speaker } from "node-bgp";

const { values } = parseArgs({
  options: {
    as: { type: "string", default: "64512" },
    "router-id": { type: "string", default: "192.0.2.1" },
    neighbor: { type: "string", multiple: true, default: ["192.0.2.254=65000"] },
    port: { type: "string", default: "179" },
  },
});

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());

await using speaker = new Speaker({ asn: Number(values.as), routerId: values["router-id"], listen: false });
for (const neighbor of values.neighbor) {
  const [address = "", asn] = neighbor.split("=");
  speaker.addNeighbor({
    address,
    asn: Number(asn),
    port: Number(values.port),
    families: Object.values(Family),
    importPolicy: acceptAll,
    exportPolicy: rejectAll,
  });
}
// Standard output is for routes.
speaker.onNeighbor(({ address, state, error }) => console.error(address, state, error?.text ?? ""));
speaker.onWarning(({ text }) => console.error(text));
await speaker.start({ signal: stop.signal });

// A reader of ours that is slow gets the latest state of each prefix; nothing piles up in between.
for await (const { kind, prefix, best } of speaker.routeChanges({ snapshot: true })) {
  const time = new Date().toISOString();
  const route = best && {
    from: best.source,
    nextHop: best.nextHop,
    asPath: formatAsPath(best.asPath),
    communities: best.communities,
  };
  const line = JSON.stringify({ time, kind, prefix, ...route });
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
}
