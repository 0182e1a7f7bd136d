/**
 * Our BGP daemon and other people's keep traffic running while either is killed and started again (RFC 4724): two hosts, routes of each in the kernel of the other, pings
 * over them both ways, and not one may be lost. What was taken back in between must be gone afterwards.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Family } from "node-bgp";
import type { Daemon } from "../../../bgp/node-bgp/test/kit/daemons/daemon.ts";
import {
  type InteropLab,
  ours,
  ours6,
  THEIR_AS,
  THEIRS,
  THEIRS6,
  withEachDaemon,
} from "../../../bgp/node-bgp/test/kit/interop-lab.ts";
import { exited, until } from "../../../bgp/node-bgp/test/kit/namespaces.ts";

const PROGRAM = join(import.meta.dirname, "../../../bgp/main.ts");
const OUR_AS = 64513;
const OUR_NETWORKS = ["192.168.1.0/24", "fd10:1::/64"];
const OUR_PASSING_NETWORK = "192.168.2.0/24";
const THEIR_NETWORKS = ["10.20.1.0/24", "fd20:1::/64"];
const THEIR_PASSING_NETWORK = "10.20.2.0/24";
/** From us to them, and back: an address on each side's loopback. */
const PATHS = [
  ["192.168.1.1", "10.20.1.1"],
  ["fd10:1::1", "fd20:1::1"],
] as const;
const PING_SECONDS = 0.01;

/** `bgp --config` on our end of the cable. */
class OurDaemon {
  readonly #file: string;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(folder: string) {
    this.#file = join(folder, "bgp.json");
  }

  start(networks: readonly string[]): void {
    const configuration = {
      as: OUR_AS,
      routerId: ours(),
      networks,
      kernel: true,
      gracefulRestart: { restartTime: 60 },
      peers: [
        {
          address: THEIRS,
          as: THEIR_AS,
          families: Object.values(Family),
          localAddress: ours(),
          nextHopSelf: { ipv6: ours6() },
          connectRetryTime: 1,
          import: "accept",
          export: "accept",
        },
      ],
    };
    writeFileSync(this.#file, JSON.stringify(configuration));
    const args = ["--pdeathsig", "KILL", process.execPath, PROGRAM, "--config", this.#file];
    const child = spawn("setpriv", args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", text => {
        this.#output += text;
      });
  }

  async kill(): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.kill("SIGKILL");
    await exited(this.#child);
  }

  get output(): string {
    return this.#output;
  }
}

/** Pings along every path until stopped. */
class Traffic {
  readonly #paths: readonly (readonly [string, string])[];
  readonly #pings: ChildProcess[];
  readonly #outputs: string[] = [];

  constructor(paths: readonly (readonly [string, string])[]) {
    this.#paths = paths;
    this.#pings = paths.map(([from, to], i) => {
      const args = ["--pdeathsig", "KILL", "ping", "-i", String(PING_SECONDS), "-I", from, to];
      const ping = spawn("setpriv", args, { stdio: ["ignore", "pipe", "inherit"] });
      this.#outputs[i] = "";
      ping.stdout.setEncoding("utf8").on("data", text => {
        this.#outputs[i] += text;
      });
      return ping;
    });
  }

  /** So many more answers on each path. */
  async flow(answers: number): Promise<void> {
    const count = () => this.#outputs.map(text => text.split("bytes from").length);
    const before = count();
    await until(
      `${answers} more answers`,
      () => count().every((now, i) => now >= before[i]! + answers) || undefined,
    );
  }

  /** Ends it; one line for each path that has lost something. */
  async stop(): Promise<string[]> {
    await Promise.all(
      this.#pings.map(async ping => {
        const gone = once(ping, "close");
        ping.kill("SIGINT");
        await gone;
      }),
    );
    return this.#outputs.flatMap((text, i) => {
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text)!;
      return sent === received ? [] : [`${received} of ${sent} from ${this.#paths[i]!.join(" to ")}`];
    });
  }

  async kill(): Promise<void> {
    for (const ping of this.#pings) ping.kill("SIGKILL");
  }
}

/** Routes that leave a kernel. */
class Departures {
  readonly #child: ChildProcess;
  #output = "";

  constructor(namespace: string) {
    const args = ["--pdeathsig", "KILL", "ip", "-n", namespace, "-o", "monitor", "route"];
    this.#child = spawn("setpriv", args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout!.setEncoding("utf8").on("data", text => {
      this.#output += text;
    });
  }

  get prefixes(): string[] {
    return Array.from(this.#output.matchAll(/^Deleted (\S+) /gm), ([, prefix = ""]) => prefix);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
  }
}

withEachDaemon("bgp keeps forwarding", lab => {
  it("while they are killed and restarted", async () => {
    // zebra 8.4.4 itself takes IPv6 routes out of its kernel for some 40 ms when bgpd is back.
    const { daemon, us, traffic, departures } = await running(lab, lab.name === "frr" ? [PATHS[0]] : PATHS);
    await daemon.kill();
    daemon.forget([THEIR_PASSING_NETWORK]);
    await daemon.start(true);
    // Its End-of-RIB has come: what it no longer has is gone.
    await until("their withdrawn route gone here", () => gone(lab.cable.left, THEIR_PASSING_NETWORK), 40);
    await until("ours there again", () => has(daemon, OUR_NETWORKS[0]!));
    await traffic.flow(50);
    assert.deepEqual(departures.prefixes, [THEIR_PASSING_NETWORK], us.output);
    assert.deepEqual(await traffic.stop(), [], us.output);
  });

  it("while it is killed and restarted itself", async () => {
    const { daemon, us, traffic, departures } = await running(lab, PATHS);
    await us.kill();
    us.start(OUR_NETWORKS);
    await until("our withdrawn route gone there", () => gone(lab.cable.right, OUR_PASSING_NETWORK), 40);
    await until("ours there again", () => has(daemon, OUR_NETWORKS[0]!));
    await traffic.flow(50);
    assert.deepEqual(departures.prefixes, [], us.output);
    assert.deepEqual(await traffic.stop(), [], us.output);
  });
});

/** Both up, routes in both kernels, traffic on its way. */
async function running(lab: InteropLab, paths: typeof PATHS | readonly [(typeof PATHS)[0]]) {
  const { left, right, folder } = lab.cable;
  for (const [i, namespace] of [left, right].entries())
    for (const path of PATHS) ip(namespace, "addr", "replace", path[i]!, "dev", "lo");
  const daemon = await lab.daemon({
    neighbors: [{ address: ours(), asn: OUR_AS, families: Object.values(Family), gracefulRestart: 60 }],
    routes: [...THEIR_NETWORKS, THEIR_PASSING_NETWORK].map(prefix => ({ prefix })),
    kernel: true,
  });
  const us = lab.keep(new OurDaemon(folder));
  us.start([...OUR_NETWORKS, OUR_PASSING_NETWORK]);
  for (const prefix of [...THEIR_NETWORKS, THEIR_PASSING_NETWORK])
    await until(`${prefix} here`, () => gateway(left, prefix));
  for (const prefix of [...OUR_NETWORKS, OUR_PASSING_NETWORK])
    await until(`${prefix} there`, () => gateway(right, prefix));
  assert.equal(gateway(left, THEIR_NETWORKS[0]!), THEIRS);
  assert.equal(gateway(left, THEIR_NETWORKS[1]!), THEIRS6);
  assert.equal(gateway(right, OUR_NETWORKS[0]!), ours());
  const departures = lab.keep(new Departures(left));
  const traffic = lab.keep(new Traffic(paths));
  await traffic.flow(50);
  return { daemon, us, traffic, departures };
}

async function has(daemon: Daemon, prefix: string): Promise<true | undefined> {
  const routes = await daemon.received(ours()).catch(() => []);
  return routes.some(route => route.prefix === prefix) || undefined;
}

function gone(namespace: string, prefix: string): true | undefined {
  return gateway(namespace, prefix) === undefined || undefined;
}

/** Where the kernel sends this prefix. */
function gateway(namespace: string, prefix: string): string | undefined {
  const [route] = JSON.parse(ip(namespace, "-j", "route", "show", prefix) || "[]");
  return route?.gateway;
}

function ip(namespace: string, ...args: readonly string[]): string {
  const family = args.some(arg => arg.includes(":")) ? ["-6"] : [];
  return execFileSync("ip", ["-n", namespace, ...family, ...args], { encoding: "utf8" });
}
