/**
 * `node test/bench/bfd.ts [SECONDS]`: what BFD sessions cost. Ours in one worker thread at one end of a cable, bird's at the other, the same packets for both;
 * processor time of each process while all sessions are Up, in percent of one processor, and how late our packets were at worst.
 */

import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bfd } from "../../bgp/node-bgp/index.ts";
import { Cable, until } from "../../bgp/node-bgp/test/kit/namespaces.ts";
import { enterNamespace } from "../../bgp/node-bgp/test/kit/network-namespace.ts";

const SECONDS = Number(process.argv[2] ?? 10);
const CASES = [
  { sessions: 1, interval: 300 },
  { sessions: 100, interval: 300 },
  { sessions: 100, interval: 50 },
  { sessions: 500, interval: 300 },
] as const;

const ours = (i: number) => `10.97.${i >> 8}.${i & 255}`;
const theirs = (i: number) => `10.98.${i >> 8}.${i & 255}`;

interface Result {
  readonly sessions: number;
  readonly interval: number;
  readonly packetsPerSecond: number;
  readonly ours: number;
  readonly bird: number;
  readonly longestDelay: number;
  readonly priority: string;
}

async function measure(sessions: number, interval: number): Promise<Result> {
  const cable = new Cable();
  const leave = enterNamespace(cable.left);
  const bfd = new Bfd();
  try {
    const indexes = Array.from({ length: sessions }, (_, i) => i + 1);
    addAddresses(cable.left, indexes.map(ours));
    addAddresses(cable.right, indexes.map(theirs));
    const bird = startBird(cable, indexes, interval);
    const timers = { transmitInterval: interval, receiveInterval: interval };
    for (const i of indexes) {
      bfd.addSession({ address: theirs(i), localAddress: ours(i), ...timers }, () => {});
    }
    await until(
      "all Up and fast",
      () => {
        const all = bfd.sessions();
        const isReady = all.every(
          ({ state, remoteTransmitInterval }) => state === "Up" && remoteTransmitInterval === interval,
        );
        return isReady ? true : undefined;
      },
      30,
    );
    const packets = () => bfd.sessions().reduce((sum, { sent, received }) => sum + sent + received, 0);
    const [before, started] = [
      { packets: packets(), ours: cpuSeconds(process.pid), bird: cpuSeconds(bird) },
      Date.now(),
    ];
    await new Promise(resolve => setTimeout(resolve, SECONDS * 1000));
    const elapsed = (Date.now() - started) / 1000;
    const percent = (seconds: number) => Math.round((seconds / elapsed) * 1000) / 10;
    const all = bfd.sessions();
    if (all.some(({ ups }) => ups !== 1)) throw new Error("a session has flapped");
    return {
      sessions,
      interval,
      packetsPerSecond: Math.round((packets() - before.packets) / elapsed),
      ours: percent(cpuSeconds(process.pid) - before.ours),
      bird: percent(cpuSeconds(bird) - before.bird),
      longestDelay: Math.round(Math.max(...all.map(({ longestDelay }) => longestDelay)) * 10) / 10,
      priority: bfd.status().priority ?? "",
    };
  } finally {
    await bfd.close();
    leave();
    cable.remove();
  }
}

function addAddresses(namespace: string, addresses: readonly string[]): void {
  const lines = addresses.map(address => `addr add ${address}/14 dev eth0`).join("\n");
  execFileSync("ip", ["-n", namespace, "-batch", "-"], { input: lines });
}

/** Its process id. */
function startBird(cable: Cable, indexes: readonly number[], interval: number): number {
  const neighbors = indexes.map(i => `neighbor ${ours(i)} dev "eth0" local ${theirs(i)};`);
  const config = join(cable.folder, "bird.conf");
  writeFileSync(
    config,
    `router id 10.98.0.1;
    protocol device {}
    protocol bfd { interface "*" { interval ${interval} ms; multiplier 3; }; ${neighbors.join("\n")} }`,
  );
  const args = [
    "-f",
    "-c",
    config,
    "-s",
    join(cable.folder, "bird.ctl"),
    "-P",
    join(cable.folder, "bird.pid"),
  ];
  const wrapped = ["--pdeathsig", "KILL", "nsenter", `--net=/run/netns/${cable.right}`, "bird", ...args];
  return spawn("setpriv", wrapped, { stdio: "ignore" }).pid!;
}

/** Fields 14 and 15 of /proc/PID/stat are hundredths of seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const results: Result[] = [];
for (const { sessions, interval } of CASES) results.push(await measure(sessions, interval));
const column = (value: string | number) => String(value).padStart(12);
const print = (...values: readonly (string | number)[]) =>
  process.stdout.write(`${values.map(column).join("")}\n`);
print("sessions", "interval ms", "packets/s", "node-bgp %", "bird %", "latest ms");
for (const { sessions, interval, packetsPerSecond, ours: us, bird, longestDelay } of results) {
  print(sessions, interval, packetsPerSecond, us, bird, longestDelay);
}
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(0);
