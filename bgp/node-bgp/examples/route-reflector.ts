/**
 * A route reflector: whoever dials from one of the prefixes, with our AS number, is a client.
 *
 *   node route-reflector.ts --as 64512 --router-id 192.0.2.1 --clients 10.0.0.0/8 --clients fd00::/8 [--password SECRET]
 *
 * Two of them beside each other with the same --cluster-id make a redundant pair.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { Family, Speaker } from "node-bgp";

const { values } = parseArgs({
  options: {
    as: { type: "string", default: "64512" },
    "router-id": { type: "string", default: "192.0.2.1" },
    "cluster-id": { type: "string" },
    clients: { type: "string", multiple: true, default: ["10.0.0.0/8"] },
    limit: { type: "string", default: "1000" },
    address: { type: "string", multiple: true },
    port: { type: "string", default: "179" },
    password: { type: "string" },
  },
});

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());

const speaker = new Speaker({
  asn: Number(values.as),
  routerId: values["router-id"],
  listen: { port: Number(values.port), ...(values.address && { addresses: values.address }) },
  ...(values["cluster-id"] && { clusterId: values["cluster-id"] }),
});
for (const prefix of values.clients) {
  speaker.addDynamicNeighbors({
    prefix,
    asn: Number(values.as),
    limit: Number(values.limit),
    reflectorClient: true,
    families: Object.values(Family),
    ...(values.password && { password: values.password }),
  });
}
speaker.onNeighbor(({ address, state, previous, error, removed }) => {
  if (state === "Established") console.log(`${address} is up (${established()} clients)`);
  else if (previous === "Established") console.log(`${address} is down: ${error?.text ?? "closed"}`);
  if (removed) console.log(`${address} has left`);
});
speaker.onWarning(({ text }) => console.log(text));
await speaker.start({ signal: stop.signal });
console.log(`reflecting on port ${speaker.port}`);

function established(): number {
  return speaker.neighbors().filter(({ state }) => state === "Established").length;
}
