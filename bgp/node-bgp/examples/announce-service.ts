/**
 * Announces the address of a service for as long as its health check answers, as an anycast node does.
 *
 *   node announce-service.ts --as 64512 --router-id 192.0.2.1 --neighbor 192.0.2.254 --neighbor-as 65000 \
 *     --prefix 203.0.113.10/32 --check http://localhost:8080/healthz
 *
 * The check is made every second (--interval, ms); two bad answers in a row withdraw the route, one good answer announces it again.
 */

import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { rejectAll, Speaker } from "node-bgp";

const { values } = parseArgs({
  options: {
    as: { type: "string", default: "64512" },
    "router-id": { type: "string", default: "192.0.2.1" },
    neighbor: { type: "string", default: "192.0.2.254" },
    "neighbor-as": { type: "string", default: "65000" },
    port: { type: "string", default: "179" },
    prefix: { type: "string", default: "203.0.113.10/32" },
    check: { type: "string", default: "http://localhost:8080/healthz" },
    interval: { type: "string", default: "1000" },
  },
});

const interval = Number(values.interval);
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());

await using speaker = new Speaker({ asn: Number(values.as), routerId: values["router-id"], listen: false });
speaker.onNeighbor(({ state, error }) => console.log(`neighbor ${state}`, error?.text ?? ""));
speaker.addNeighbor({
  address: values.neighbor,
  asn: Number(values["neighbor-as"]),
  port: Number(values.port),
  // We want nothing, and tell nothing but our service.
  importPolicy: rejectAll,
  exportPolicy: route => (route.prefix === values.prefix ? route : null),
});
await speaker.start();

let failures = Number.POSITIVE_INFINITY;
let isAnnounced = false;
while (!stop.signal.aborted) {
  failures = (await isHealthy()) ? 0 : failures + 1;
  if (failures === 0 && !isAnnounced) {
    speaker.announce({ prefix: values.prefix });
    isAnnounced = true;
    console.log(`announced ${values.prefix}`);
  } else if (failures >= 2 && isAnnounced) {
    speaker.withdraw(values.prefix);
    isAnnounced = false;
    console.log(`withdrawn ${values.prefix}`);
  }
  await sleep(interval, undefined, { signal: stop.signal }).catch(() => {});
}

async function isHealthy(): Promise<boolean> {
  try {
    const answer = await fetch(values.check, { signal: AbortSignal.timeout(interval) });
    return answer.ok;
  } catch {
    return false;
  }
}
