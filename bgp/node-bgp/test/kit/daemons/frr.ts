/** frr's bgpd; with zebra where its routes are to go into the kernel. */

import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Family } from "../../../index.ts";
import { Daemon, type DaemonSession, familiesOf, type LearnedRoute, type OriginatedRoute } from "./daemon.ts";
import {
  familyOfRoute,
  frrConfig,
  frrFamily,
  frrName,
  frrNeighbor,
  network,
  routeMaps,
} from "./frr-config.ts";
import { parseFrrRoutes } from "./frr-show.ts";
import { FrrVty } from "./frr-vty.ts";

const FRR = "/usr/lib/frr";

interface FrrNeighborStatus {
  readonly bgpState: string;
  readonly remoteRouterId: string;
  readonly lastResetDueTo?: string;
  readonly lastNotificationReason?: string;
  readonly lastShutdownDescription?: string;
}

export class Frr extends Daemon {
  readonly name = "frr";
  readonly #routes = new Map<string, OriginatedRoute>();
  #vty: FrrVty | undefined;

  async start(recover = false): Promise<void> {
    this.#vty?.close();
    if (!recover) for (const route of this.options.routes ?? []) this.#routes.set(route.prefix, route);
    const config = this.#path("bgpd.conf");
    writeFileSync(config, frrConfig({ ...this.options, routes: [...this.#routes.values()] }));
    const common = ["-P", "0", "--vty_socket", this.folder, "--log", "stdout"];
    const zebra = this.#path("zserv.api");
    if (this.options.kernel && this.#vty === undefined) {
      this.#giveFolder();
      writeFileSync(this.#path("zebra.conf"), "");
      const args = ["-f", this.#path("zebra.conf"), "-i", this.#path("zebra.pid"), "-z", zebra];
      const child = this.spawn(`${FRR}/zebra`, [...args, ...common]);
      const vty = await this.answering(child, () =>
        FrrVty.open(this.#path("zebra.vty")).catch(() => undefined),
      );
      vty.close();
    }
    const child = this.spawn(`${FRR}/bgpd`, [
      ...["-f", config, "-i", this.#path("bgpd.pid"), "--log-level", "debug"],
      ...["-S", "-u", "root", "-g", "root"],
      ...(this.options.kernel ? ["-z", zebra] : ["-Z"]),
      ...common,
    ]);
    this.#vty = await this.answering(child, () => FrrVty.open(this.#path("bgpd.vty")).catch(() => undefined));
    const { routerId } = JSON.parse(await this.ask("show bgp ipv4 unicast json"));
    if (routerId !== this.options.routerId) throw new Error(`another bgpd: ${routerId}`);
  }

  async applyNeighbors(): Promise<void> {
    const { asn, neighbors } = this.options;
    const names = new Set(neighbors.map(({ address }) => frrName(address)));
    const there = Object.keys(JSON.parse(await this.ask("show bgp neighbors json")));
    const gone = there.filter(name => !names.has(name)).map(name => `no neighbor ${name}`);
    const lines = [...gone, ...neighbors.flatMap(neighbor => frrNeighbor(neighbor, this.options))];
    await this.#open.configure(`router bgp ${asn}`, ...lines);
  }

  async announce(routes: readonly OriginatedRoute[]): Promise<void> {
    for (const route of routes) this.#routes.set(route.prefix, route);
    await this.#open.configure(...routeMaps(routes));
    for (const family of Object.values(Family)) {
      const lines = routes.filter(route => familyOfRoute(route) === family).map(network);
      if (lines.length > 0) await this.#inFamily(family, lines);
    }
  }

  forget(prefixes: readonly string[]): void {
    for (const prefix of prefixes) this.#routes.delete(prefix);
  }

  async withdraw(prefixes: readonly string[]): Promise<void> {
    for (const family of Object.values(Family)) {
      const gone = prefixes.filter(prefix => familyOfRoute({ prefix }) === family);
      for (const prefix of gone) this.#routes.delete(prefix);
      if (gone.length > 0)
        await this.#inFamily(
          family,
          gone.map(prefix => `no network ${prefix}`),
        );
    }
  }

  async sessions(): Promise<ReadonlyMap<string, DaemonSession>> {
    const all: Readonly<Record<string, FrrNeighborStatus>> = JSON.parse(
      await this.ask("show bgp neighbors json"),
    );
    const sessions = this.options.neighbors.flatMap(({ address }): [string, DaemonSession][] => {
      const status = all[frrName(address)];
      if (status === undefined) return [];
      const { bgpState, remoteRouterId } = status;
      return [[address, { isEstablished: bgpState === "Established", remoteRouterId }]];
    });
    return new Map(sessions);
  }

  async received(neighbor: string, family: Family = Family.ipv4Unicast): Promise<LearnedRoute[]> {
    return parseFrrRoutes(await this.ask(`show bgp ${frrFamily(family)} json detail`), frrName(neighbor));
  }

  async askRefresh(neighbor: string): Promise<void> {
    const options = this.options.neighbors.find(({ address }) => address === neighbor)!;
    // With a stored Adj-RIB-In "soft in" would not ask anybody.
    for (const family of familiesOf(options)) {
      await this.#inFamily(family, [`no neighbor ${frrName(neighbor)} soft-reconfiguration inbound`]);
      await this.ask(`clear bgp ${frrFamily(family)} ${frrName(neighbor)} soft in`);
    }
  }

  async shutdown(neighbor: string, text?: string): Promise<void> {
    const message = text === undefined ? "" : ` message ${text}`;
    await this.#inRouter(`neighbor ${frrName(neighbor)} shutdown${message}`);
  }

  async enable(neighbor: string): Promise<void> {
    await this.#inRouter(`no neighbor ${frrName(neighbor)} shutdown`);
  }

  async reset(neighbor: string): Promise<void> {
    await this.ask(`clear bgp ${frrName(neighbor)}`);
  }

  async lastError(neighbor: string): Promise<string> {
    const { lastResetDueTo, lastNotificationReason, lastShutdownDescription } = await this.#status(neighbor);
    return [lastResetDueTo, lastNotificationReason, lastShutdownDescription].filter(Boolean).join("; ");
  }

  override async end(): Promise<void> {
    this.#vty?.close();
    await super.end();
  }

  ask(command: string): Promise<string> {
    return this.#open.ask(command);
  }

  async #status(neighbor: string): Promise<FrrNeighborStatus> {
    const name = frrName(neighbor);
    const status = JSON.parse(await this.ask(`show bgp neighbors ${name} json`))[name];
    if (status === undefined) throw new Error(`frr has no neighbor ${neighbor}`);
    return status;
  }

  async #inRouter(line: string): Promise<void> {
    await this.#open.configure(`router bgp ${this.options.asn}`, line);
  }

  async #inFamily(family: Family, lines: readonly string[]): Promise<void> {
    const node = `address-family ${frrFamily(family)}`;
    await this.#open.configure(`router bgp ${this.options.asn}`, node, ...lines);
  }

  /** zebra, other than bgpd, insists on running as its own user. */
  #giveFolder(): void {
    const [uid = 0, gid = 0] = ["-u", "-g"].map(option =>
      Number(execFileSync("id", [option, "frr"], { encoding: "utf8" })),
    );
    chmodSync(join(this.folder, ".."), 0o755);
    chownSync(this.folder, uid, gid);
  }

  get #open(): FrrVty {
    if (this.#vty === undefined) throw new Error("frr was not started");
    return this.#vty;
  }

  #path(name: string): string {
    return join(this.folder, name);
  }
}
