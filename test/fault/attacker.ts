/**
 * Tries forbidden connections without a pause and counts those that come through: each attempt is a flow of its own,
 * since one that was let in once is let in for good. Runs inside a workload; says what it found when told to stop.
 *
 *   node test/fault/attacker.ts ADDRESS icmp udp:53 tcp:80
 */

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import process from "node:process";

export interface Attack {
  readonly attempts: number;
  /** What came through, and when: milliseconds since the epoch. */
  readonly successes: readonly { readonly what: string; readonly at: number }[];
}

const EVERY_MS = 4;
/** No answer by then: none will come, or it is too late to matter. */
const GIVE_UP_MS = 300;

if (import.meta.main) {
  const [address = "", ...targets] = process.argv.slice(2);
  const successes: Attack["successes"][number][] = [];
  let attempts = 0;
  const succeeded = (what: string) => successes.push({ what, at: Date.now() });

  const udp = (port: number) => {
    const socket = createSocket("udp4");
    socket.once("message", () => succeeded(`udp:${port}`));
    socket.on("error", () => {});
    socket.send("attack", port, address, () => {});
    setTimeout(() => socket.close(), GIVE_UP_MS);
  };

  const tcp = (port: number) => {
    const socket = connect(port, address);
    socket.once("connect", () => succeeded(`tcp:${port}`));
    socket.on("error", () => {});
    setTimeout(() => socket.destroy(), GIVE_UP_MS);
  };

  for (const target of targets) {
    const [protocol, port] = target.split(":");
    if (protocol === "icmp") {
      const ping = spawn("ping", ["-n", "-i", String(EVERY_MS / 1000), address], {
        stdio: ["ignore", "pipe", "ignore"],
      });
      ping.stdout.on("data", chunk => {
        for (const _ of String(chunk).matchAll(/bytes from/g)) succeeded("icmp");
      });
    } else {
      setInterval(() => {
        attempts++;
        if (protocol === "udp") udp(Number(port));
        else tcp(Number(port));
      }, EVERY_MS);
    }
  }
  process.on("SIGTERM", () => {
    process.stdout.write(`${JSON.stringify({ attempts, successes } satisfies Attack)}\n`, () =>
      process.exit(0),
    );
  });
  process.stdout.write("ready\n");
}
