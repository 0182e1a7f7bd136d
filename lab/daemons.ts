/** felix and bgp of a lab's hosts: started, killed, and waited for. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../daemon/clock.ts";
import { fetchStatus } from "../daemon/status-server.ts";
import { hostEnvironment } from "./environment.ts";
import { isAlive, killAndWait, ROOT, startDetached } from "./process.ts";
import { type Daemon, type HostRecord, LabError, LabErrorCode, type LabState } from "./state.ts";
import { sessionsOf } from "./topology.ts";

const DAEMONS: readonly Daemon[] = ["felix", "bgp"];
const READY_TIMEOUT_MS = 20_000;

export class HostDaemons {
  readonly #state: LabState;

  constructor(state: LabState) {
    this.#state = state;
  }

  /** All of all hosts; resolves when they are ready and every BGP session is up. */
  async startAll(): Promise<void> {
    const { hosts } = this.#state.lab;
    for (const host of hosts) for (const daemon of DAEMONS) this.#start(host, daemon);
    await Promise.all(hosts.flatMap(host => DAEMONS.map(daemon => this.#untilReady(host, daemon))));
    await Promise.all(hosts.map(host => this.#untilPeered(host)));
  }

  /** Resolves when it is ready; at once where it runs. */
  async start(host: HostRecord, daemon: Daemon): Promise<void> {
    const ref = this.#state.process(`${host.name}-${daemon}`);
    if (ref && isAlive(ref)) return;
    this.#start(host, daemon);
    await this.#untilReady(host, daemon);
  }

  /** Whether it was running. */
  async kill(host: string, daemon: Daemon): Promise<boolean> {
    const ref = this.#state.process(`${host}-${daemon}`);
    if (!ref || !isAlive(ref)) return false;
    await killAndWait(ref);
    return true;
  }

  #start(host: HostRecord, daemon: Daemon): void {
    const ref = startDetached([join(ROOT, "bin", daemon)], {
      namespace: host.namespace,
      log: this.#state.hostPath(host.name, `${daemon}.log`),
      env: hostEnvironment(this.#state, host),
    });
    this.#state.writeProcess(`${host.name}-${daemon}`, ref);
  }

  async #untilReady(host: HostRecord, daemon: Daemon): Promise<void> {
    const socket = this.#state.hostPath(host.name, "run", `${daemon}.sock`);
    const ref = this.#state.process(`${host.name}-${daemon}`);
    let reason = "no answer";
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (Date.now() < deadline) {
      const answer = await fetchStatus(socket, "/readiness");
      if (answer?.code === 204) return;
      if (answer) reason = answer.body.trim();
      if (ref && !isAlive(ref)) reason = "it ended";
      if (reason === "it ended") break;
      await systemClock.sleep(20);
    }
    const log = this.#state.hostPath(host.name, `${daemon}.log`);
    const tail = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n").slice(-5).join("\n") : "";
    throw new LabError(LabErrorCode.TimedOut, `${daemon} on ${host.name} is not ready: ${reason}\n${tail}`);
  }

  /** Resolves when every BGP session of the host is up. */
  async #untilPeered(host: HostRecord): Promise<void> {
    const socket = this.#state.hostPath(host.name, "run", "bgp.sock");
    const expected = sessionsOf(this.#state.lab, host);
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const answer = await fetchStatus(socket);
      const neighbors: { state?: string; name: string }[] = answer ? JSON.parse(answer.body).neighbors : [];
      const down = neighbors
        .filter(neighbor => neighbor.state !== "Established")
        .map(neighbor => neighbor.name);
      if (down.length === 0 && neighbors.length >= expected) return;
      if (Date.now() > deadline) {
        throw new LabError(
          LabErrorCode.TimedOut,
          `BGP on ${host.name} is not up: ${down.join(", ") || "no neighbors yet"}`,
        );
      }
      await systemClock.sleep(50);
    }
  }
}
