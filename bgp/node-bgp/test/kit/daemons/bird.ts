/** bird 2. */

import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Family } from "../../../index.ts";
import { until } from "../namespaces.ts";
import { birdConfig, birdProtocol, birdRoutes } from "./bird-config.ts";
import { parseBirdRoutes } from "./bird-show.ts";
import { Daemon, type DaemonSession, type LearnedRoute, type OriginatedRoute } from "./daemon.ts";

const run = promisify(execFile);
const MAX_OUTPUT = 64 * 1024 * 1024;

export class Bird extends Daemon {
  readonly name = "bird";
  readonly #routes = new Map<string, OriginatedRoute>();

  async start(recover = false): Promise<void> {
    if (!recover) for (const route of this.options.routes ?? []) this.#routes.set(route.prefix, route);
    this.#writeConfig();
    const args = ["-f", "-c", this.#path("conf"), "-s", this.#path("ctl"), "-P", this.#path("pid")];
    const child = this.spawn("bird", recover ? [...args, "-R"] : args);
    const answer = await this.answering(child, () => this.ask("show status").catch(() => undefined));
    if (!answer.includes(`Router ID is ${this.options.routerId}\n`))
      throw new Error(`another bird: ${answer}`);
  }

  async applyNeighbors(): Promise<void> {
    await this.#reload();
  }

  async announce(routes: readonly OriginatedRoute[]): Promise<void> {
    for (const route of routes) this.#routes.set(route.prefix, route);
    await this.#reload();
  }

  forget(prefixes: readonly string[]): void {
    for (const prefix of prefixes) this.#routes.delete(prefix);
  }

  async withdraw(prefixes: readonly string[]): Promise<void> {
    for (const prefix of prefixes) this.#routes.delete(prefix);
    await this.#reload();
  }

  async sessions(): Promise<ReadonlyMap<string, DaemonSession>> {
    const text = await this.ask("show protocols all");
    const parts = text.split(/^(?=n\S+ +BGP )/m).slice(1);
    const sessions = parts.map((part): [string, DaemonSession] => [
      /Neighbor address: +(\S+)/.exec(part)?.[1] ?? "",
      {
        isEstablished: /BGP state: +Established/.test(part),
        remoteRouterId: /Neighbor ID: +(\S+)/.exec(part)?.[1],
      },
    ]);
    return new Map(sessions);
  }

  async received(neighbor: string, family: Family = Family.ipv4Unicast): Promise<LearnedRoute[]> {
    const table = family === Family.ipv4Unicast ? "master4" : "master6";
    const text = await this.ask(`show route table ${table} protocol ${this.#protocol(neighbor)} all`);
    return parseBirdRoutes(text, neighbor);
  }

  async askRefresh(neighbor: string): Promise<void> {
    await this.ask(`reload in ${this.#protocol(neighbor)}`);
  }

  async shutdown(neighbor: string, text?: string): Promise<void> {
    await this.ask(`disable ${this.#protocol(neighbor)}${quoted(text)}`);
  }

  async enable(neighbor: string): Promise<void> {
    await this.ask(`enable ${this.#protocol(neighbor)}`);
  }

  async reset(neighbor: string, text?: string): Promise<void> {
    await this.ask(`restart ${this.#protocol(neighbor)}${quoted(text)}`);
  }

  async lastError(neighbor: string): Promise<string> {
    const text = await this.ask(`show protocols all ${this.#protocol(neighbor)}`);
    return /Last error: +(.*)/.exec(text)?.[1] ?? "";
  }

  /** One command to its control socket, which is in our folder: no other bird can answer. */
  async ask(command: string): Promise<string> {
    const { stdout } = await run("birdc", ["-s", this.#path("ctl"), ...command.split(" ")], {
      maxBuffer: MAX_OUTPUT,
    });
    if (/^(syntax error|runtime error)/im.test(stdout)) throw new Error(`bird: ${command}: ${stdout}`);
    return stdout;
  }

  async #reload(): Promise<void> {
    this.#writeConfig();
    const answer = await this.ask("configure");
    if (!/Reconfigur(ed|ation in progress)/.test(answer)) throw new Error(`bird: ${answer}`);
    await until("bird to have reconfigured", async () =>
      /Reconfiguration in progress/.test(await this.ask("show status")) ? undefined : true,
    );
  }

  #writeConfig(): void {
    const routes = [...this.#routes.values()];
    const of = (isIpv6: boolean) =>
      birdRoutes(routes.filter(({ prefix }) => prefix.includes(":") === isIpv6));
    writeFileSync(join(this.folder, "originated4.conf"), of(false));
    writeFileSync(join(this.folder, "originated6.conf"), of(true));
    writeFileSync(
      this.#path("conf"),
      birdConfig(this.options, neighbor => this.localAddress(neighbor), this.folder),
    );
  }

  #protocol(neighbor: string): string {
    if (!this.options.neighbors.some(({ address }) => address === neighbor))
      throw new Error(`bird has no neighbor ${neighbor}`);
    return birdProtocol(neighbor);
  }

  #path(extension: string): string {
    return join(this.folder, `bird.${extension}`);
  }
}

function quoted(text: string | undefined): string {
  return text === undefined ? "" : ` "${text}"`;
}
