/**
 * gobgpd installs no routes; this puts what its table tells of into the kernel of its namespace. As zebra does for a bgpd that restarts gracefully, it leaves
 * everything where it is when gobgpd dies.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** `2026-11-21T08:04:35Z [ROUTE] 192.168.1.0/24 via 10.99.0.1 aspath …` */
const LINE = /\[(ROUTE|DELROUTE)\] (\S+) via (\S+) /;

export class GobgpKernel {
  readonly #namespace: string;
  readonly #ownAddresses: readonly string[];
  #monitor: ChildProcess | undefined;
  /** One change after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(namespace: string, ownAddresses: readonly string[]) {
    this.#namespace = namespace;
    this.#ownAddresses = ownAddresses;
  }

  /** Follows the gobgpd at this socket instead of the one before. */
  follow(socket: string): void {
    this.stop();
    const args = ["--pdeathsig", "KILL", "gobgp", "--target", `unix://${socket}`, "monitor", "global", "rib"];
    this.#monitor = spawn("setpriv", args, { stdio: ["ignore", "pipe", "ignore"] });
    createInterface({ input: this.#monitor.stdout! }).on("line", line => this.#hear(line));
  }

  stop(): void {
    this.#monitor?.kill("SIGKILL");
  }

  #hear(line: string): void {
    const [, what, prefix = "", nextHop = ""] = LINE.exec(line) ?? [];
    if (what === undefined || this.#ownAddresses.includes(nextHop)) return;
    const route = what === "ROUTE" ? ["replace", prefix, "via", nextHop] : ["delete", prefix];
    const family = prefix.includes(":") ? "-6" : "-4";
    this.#last = this.#last.then(
      () =>
        new Promise(resolve => {
          execFile("ip", ["-n", this.#namespace, family, "route", ...route, "proto", "bgp"], () => resolve());
        }),
    );
  }
}
