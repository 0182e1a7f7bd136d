/**
 * Routes from a program in any language, as with exabgp: what it prints becomes routes, and what we learn goes to its standard input as
 * lines of JSON.
 *
 *   node script-feed.ts --as 64512 --router-id 192.0.2.1 --neighbor 192.0.2.254 --neighbor-as 65000 -- ./my-script.sh
 *
 *   announce route 10.0.0.0/24 next-hop 192.0.2.1 [med 10] [local-preference 200] [community 64512:1 ...]
 *   withdraw route 10.0.0.0/24
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { acceptAll, BgpError, type LocalRoute, Speaker } from "node-bgp";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    as: { type: "string", default: "64512" },
    "router-id": { type: "string", default: "192.0.2.1" },
    neighbor: { type: "string", default: "192.0.2.254" },
    "neighbor-as": { type: "string", default: "65000" },
    port: { type: "string", default: "179" },
  },
});

const [command = "cat", ...args] = positionals;
await using speaker = new Speaker({ asn: Number(values.as), routerId: values["router-id"], listen: false });
speaker.addNeighbor({
  address: values.neighbor,
  asn: Number(values["neighbor-as"]),
  port: Number(values.port),
  nextHopMode: "keep",
  importPolicy: acceptAll,
  exportPolicy: route => (route.source === "local" ? route : null),
});
await speaker.start();

const script = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
script.stdin.on("error", () => {});
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => script.kill(name));
void tellChanges();
for await (const line of createInterface({ input: script.stdout })) obey(line);

/** What neighbors send, at the pace at which the script reads. */
async function tellChanges(): Promise<void> {
  const told = new Set<string>();
  for await (const change of speaker.routeChanges({ snapshot: true })) {
    const isLearned = change.best !== null && change.best.source !== "local";
    if (isLearned) told.add(change.prefix);
    else if (!told.delete(change.prefix)) continue;
    if (!script.stdin.write(`${JSON.stringify(change)}\n`)) await once(script.stdin, "drain");
  }
}

function obey(line: string): void {
  const [verb, , prefix = "", ...words] = line.trim().split(/\s+/);
  try {
    if (verb === "announce") speaker.announce(parse(prefix, words));
    else if (verb === "withdraw") speaker.withdraw(prefix);
  } catch (error) {
    if (!(error instanceof BgpError)) throw error;
    console.error(`${line}: ${error.message}`);
  }
}

function parse(prefix: string, words: readonly string[]): LocalRoute {
  const after = (word: string) => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
  const [nextHop, med, localPref] = ["next-hop", "med", "local-preference"].map(after);
  return {
    prefix,
    communities: words.filter(word => /^\d+:\d+$/.test(word)),
    ...(nextHop && nextHop !== "self" && { nextHop }),
    ...(med && { med: Number(med) }),
    ...(localPref && { localPref: Number(localPref) }),
  };
}
