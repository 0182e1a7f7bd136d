/** gobgpd. */

import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Family } from "../../../index.ts";
import { until } from "../namespaces.ts";
import { Daemon, type DaemonSession, familiesOf, type LearnedRoute, type OriginatedRoute } from "./daemon.ts";
import { gobgpConfig } from "./gobgp-config.ts";
import { GobgpKernel } from "./gobgp-kernel.ts";
import { parseGobgpRoutes } from "./gobgp-show.ts";
import { mrtRecords } from "./mrt-dump.ts";

const run = promisify(execFile);
const MAX_OUTPUT = 64 * 1024 * 1024;
const ESTABLISHED = 6;

interface GobgpNeighbor {
  readonly state: {
    readonly neighbor_address: string;
    readonly session_state: number;
    readonly router_id?: string;
  };
}

export class Gobgp extends Daemon {
  readonly name = "gobgp";
  readonly #routes = new Map<string, OriginatedRoute>();
  /** A new socket for each start: of a killed one the file stays. */
  #starts = 0;
  #injections = 0;
  #kernel: GobgpKernel | undefined;

  async start(recover = false): Promise<void> {
    this.#starts++;
    this.#writeConfig(recover);
    const socket = this.#socket;
    const args = [
      "-f",
      this.#config,
      "-t",
      "json",
      "-l",
      "debug",
      "--api-hosts",
      `unix://${socket}`,
      "--pprof-disable",
    ];
    const child = this.spawn("gobgpd", recover ? [...args, "-r"] : args);
    const answer = await this.answering(child, async () => {
      if (!existsSync(socket)) return undefined;
      const text = await this.ask("global");
      // It answers before it has read its configuration.
      return text.includes("Router-ID: \n") ? undefined : text;
    });
    if (!answer.includes(`Router-ID: ${this.options.routerId}\n`))
      throw new Error(`another gobgpd: ${answer}`);
    const { kernel, neighbors, address, address6, routes = [] } = this.options;
    if (kernel) {
      this.#kernel ??= new GobgpKernel(this.namespace, [address, address6]);
      this.#kernel.follow(socket);
    }
    // It keeps no routes of its own over a restart, and reads none from its configuration. It must have them before its neighbors hear from it.
    await this.announce(this.#starts === 1 ? routes : [...this.#routes.values()]);
    if (recover) for (const neighbor of neighbors) await this.enable(neighbor.address);
  }

  override async end(): Promise<void> {
    this.#kernel?.stop();
    await super.end();
  }

  async applyNeighbors(): Promise<void> {
    this.#writeConfig();
    this.main.kill("SIGHUP");
  }

  async announce(routes: readonly OriginatedRoute[]): Promise<void> {
    if (routes.length === 0) return;
    for (const route of routes) this.#routes.set(route.prefix, route);
    const { address, address6 } = this.options;
    const path = join(this.folder, `routes${this.#injections++}`);
    await run("mkfifo", [path]);
    // The command ends without waiting for gobgpd to have read everything, and what is on its way is then lost: it has to wait for us.
    const injected = this.ask("mrt", "inject", "global", path);
    const pipe = await open(path, "w");
    try {
      // It takes half a record for a whole one, so each goes into the pipe at once (pipe(7): atomic up to 4096 bytes).
      for (const record of mrtRecords(routes, { ipv4: address, ipv6: address6 })) await pipe.write(record);
      const { prefix } = routes.at(-1)!;
      const family = gobgpFamily(prefix.includes(":") ? Family.ipv6Unicast : Family.ipv4Unicast);
      await until(`gobgpd to have ${prefix}`, () =>
        this.ask("global", "rib", prefix, "-a", family).then(
          text => (text.includes(prefix) ? true : undefined),
          () => undefined,
        ),
      );
    } finally {
      await pipe.close();
    }
    await injected;
  }

  forget(prefixes: readonly string[]): void {
    for (const prefix of prefixes) this.#routes.delete(prefix);
  }

  async withdraw(prefixes: readonly string[]): Promise<void> {
    for (const prefix of prefixes) this.#routes.delete(prefix);
    for (const family of Object.values(Family)) {
      const gone = prefixes.filter(prefix => prefix.includes(":") === (family === Family.ipv6Unicast));
      for (const prefix of gone) await this.ask("global", "rib", "del", prefix, "-a", gobgpFamily(family));
    }
  }

  async sessions(): Promise<ReadonlyMap<string, DaemonSession>> {
    const all: readonly GobgpNeighbor[] = JSON.parse(await this.ask("neighbor", "-j"));
    const sessions = all.map(({ state }): [string, DaemonSession] => [
      state.neighbor_address,
      { isEstablished: state.session_state === ESTABLISHED, remoteRouterId: state.router_id },
    ]);
    return new Map(sessions);
  }

  async received(neighbor: string, family: Family = Family.ipv4Unicast): Promise<LearnedRoute[]> {
    const text = await this.ask("neighbor", neighbor, "adj-in", "-a", gobgpFamily(family), "-j");
    return parseGobgpRoutes(text, neighbor);
  }

  async askRefresh(neighbor: string): Promise<void> {
    const options = this.options.neighbors.find(({ address }) => address === neighbor)!;
    for (const family of familiesOf(options))
      await this.ask("neighbor", neighbor, "softresetin", "-a", gobgpFamily(family));
  }

  async shutdown(neighbor: string, text?: string): Promise<void> {
    // `disable` drops the text.
    if (text === undefined) await this.ask("neighbor", neighbor, "disable");
    else await this.ask("neighbor", neighbor, "shutdown", "--reason", text);
  }

  async enable(neighbor: string): Promise<void> {
    await this.ask("neighbor", neighbor, "enable");
  }

  async reset(neighbor: string, text?: string): Promise<void> {
    await this.ask("neighbor", neighbor, "reset", ...(text === undefined ? [] : ["--reason", text]));
  }

  /** It keeps no last error: what it logged last of a NOTIFICATION or of the end of a session. */
  async lastError(neighbor: string): Promise<string> {
    const lines = this.log()
      .split("\n")
      .filter(line => line.includes(`"Key":"${neighbor}"`) && /notification|Peer Down/i.test(line));
    return lines.slice(-2).join("; ");
  }

  async ask(...command: readonly string[]): Promise<string> {
    const target = ["--target", `unix://${this.#socket}`];
    const { stdout } = await run("gobgp", [...target, ...command], { maxBuffer: MAX_OUTPUT });
    // What goes wrong with a file it only mentions.
    if (stdout.startsWith("failed to")) throw new Error(`gobgp: ${command.join(" ")}: ${stdout}`);
    return stdout;
  }

  #writeConfig(isDown = false): void {
    const { options } = this;
    writeFileSync(
      this.#config,
      gobgpConfig(options, neighbor => this.localAddress(neighbor), isDown),
    );
  }

  get #config(): string {
    return join(this.folder, "gobgpd.json");
  }

  get #socket(): string {
    return join(this.folder, `gobgp${this.#starts}.sock`);
  }
}

function gobgpFamily(family: Family): string {
  return family === Family.ipv4Unicast ? "ipv4" : "ipv6";
}
