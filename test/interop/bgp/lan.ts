/** Hosts on one LAN, each a network namespace with `node bgp/main.ts` in it or a bird; all on one embedded datastore. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchStatus } from "../../../daemon/status-server.ts";
import type { Datastore, Value } from "../../../datastore/datastore.ts";
import { openEmbedded } from "../../../datastore/embedded/open.ts";
import { type Kind, key } from "../../../datastore/key.ts";
import { EventSubscription } from "../../../linux/events.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { RouteProtocol, RouteTable } from "../../../linux/rtnetlink.ts";
import { ip, run, type ScratchNamespaces } from "../linux/scratch-namespace.ts";

const REPOSITORY = join(import.meta.dirname, "../../..");
const APP = "projectcalico.org/v3";

export class Lan {
  readonly folder: string;
  readonly #namespaces: ScratchNamespaces;
  readonly #switch: string;
  readonly #stations: Station[] = [];
  readonly datastore: Datastore;

  static async create(namespaces: ScratchNamespaces): Promise<Lan> {
    const folder = mkdtempSync(join(tmpdir(), "calyx-bgp-"));
    return new Lan(namespaces, folder, await openEmbedded({ path: join(folder, "datastore.db") }));
  }

  private constructor(namespaces: ScratchNamespaces, folder: string, datastore: Datastore) {
    this.#namespaces = namespaces;
    this.folder = folder;
    this.datastore = datastore;
    this.#switch = namespaces.create();
    ip(this.#switch, "link", "add", "br0", "type", "bridge");
    ip(this.#switch, "link", "set", "br0", "up");
  }

  /** A host with this address; `last` makes its IPv6 address too. */
  host(name: string, last: number): Host {
    const host = new Host(this, name, this.#plug(name, last), `10.0.0.${last}`);
    this.#stations.push(host);
    return host;
  }

  bird(last: number, config: string): Bird {
    const bird = new Bird(this, `bird${last}`, this.#plug(`bird${last}`, last), config);
    this.#stations.push(bird);
    return bird;
  }

  #plug(name: string, last: number): string {
    const namespace = this.#namespaces.create();
    const port = `port-${name}`;
    ip(this.#switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip(this.#switch, "link", "set", port, "master", "br0", "up");
    ip(namespace, "link", "set", "lo", "up");
    ip(namespace, "addr", "add", `10.0.0.${last}/24`, "dev", "eth0");
    ip(namespace, "addr", "add", `fd00::${last}/64`, "dev", "eth0", "nodad");
    ip(namespace, "link", "set", "eth0", "up");
    return namespace;
  }

  /** A container on a host, by a veth as felix makes them: `cali<last>` there, eth0 in its namespace. */
  pod(host: Host, last: number, address: string): string {
    const namespace = this.#namespaces.create();
    const name = `cali${last}`;
    ip(host.namespace, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip(host.namespace, "link", "set", name, "address", "ee:ee:ee:ee:ee:ee", "up");
    ip(host.namespace, "route", "add", `${address}/32`, "dev", name, "proto", "80", "metric", "1024");
    ip(namespace, "link", "set", "lo", "up");
    ip(namespace, "link", "set", "eth0", "up");
    ip(namespace, "addr", "add", `${address}/32`, "dev", "eth0");
    ip(namespace, "route", "add", "169.254.1.1", "dev", "eth0");
    ip(namespace, "neigh", "add", "169.254.1.1", "lladdr", "ee:ee:ee:ee:ee:ee", "dev", "eth0");
    ip(namespace, "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
    return namespace;
  }

  /** The cable between a station and the switch, which neither end of a veth behind it notices. */
  cable(station: Station, state: "up" | "down"): void {
    ip(this.#switch, "link", "set", `port-${station.name}`, "nomaster");
    if (state === "up") ip(this.#switch, "link", "set", `port-${station.name}`, "master", "br0");
  }

  /** A bird in a namespace that is there already. */
  birdIn(namespace: string, name: string, config: string): Bird {
    const bird = new Bird(this, name, namespace, config);
    this.#stations.push(bird);
    return bird;
  }

  async put(kind: Kind, name: string, value: Value, namespace?: string): Promise<void> {
    const k = key(kind, name, namespace);
    const before = await this.datastore.get(k).catch(() => undefined);
    if (before) await this.datastore.update(k, value, before.revision);
    else await this.datastore.create(k, value);
  }

  resource(
    kind: "Node" | "IPPool" | "BGPPeer" | "BGPFilter" | "BGPConfiguration",
    name: string,
    spec: object,
  ): Promise<void> {
    return this.put(kind, name, { apiVersion: APP, kind, metadata: { name }, spec });
  }

  async delete(kind: Kind, name: string, namespace?: string): Promise<void> {
    await this.datastore.delete(key(kind, name, namespace));
  }

  async close(): Promise<void> {
    for (const station of this.#stations) await station.end("SIGKILL");
    await this.datastore.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Something on the LAN with a process in it. */
abstract class Station {
  readonly name: string;
  readonly namespace: string;
  protected readonly lan: Lan;
  protected child: ChildProcess | undefined;
  /** What the process said last, for when a test fails. */
  output = "";

  constructor(lan: Lan, name: string, namespace: string) {
    this.lan = lan;
    this.name = name;
    this.namespace = namespace;
  }

  protected launch(command: string, args: string[], env: NodeJS.ProcessEnv = {}): void {
    const child = inNamespace(this.namespace, () =>
      spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] }),
    );
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", text => {
        this.output = (this.output + text).slice(-20_000);
      });
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** Of protocol bgp: `10.65.1.0/26 via 10.0.0.1`, `blackhole 10.65.2.0/26`. */
  get bgpRoutes(): string[] {
    return ["-4", "-6"].flatMap(family =>
      ip(this.namespace, family, "route", "show", "proto", "bgp").map(describe),
    );
  }

  /** Waits for the kernel to say so: asks at each change of a route, and twice a second. */
  async until(what: string, isTrue: () => boolean | Promise<boolean>, seconds = 20): Promise<number> {
    const begin = performance.now();
    let changed = Promise.withResolvers<void>();
    const events = EventSubscription.open({
      namespace: this.namespace,
      groups: ["route"],
      onEvents: () => changed.resolve(),
      onFailure: () => {},
    });
    try {
      while (!(await isTrue())) {
        if (performance.now() - begin > seconds * 1000)
          throw new Error(
            `${this.name}: ${what}: not in ${seconds} s; has ${this.bgpRoutes}\n${this.output}`,
          );
        let timer: NodeJS.Timeout | undefined;
        const later = new Promise<void>(resolve => {
          timer = setTimeout(resolve, 500);
        });
        await Promise.race([changed.promise, later]);
        clearTimeout(timer);
        changed = Promise.withResolvers<void>();
      }
      return performance.now() - begin;
    } finally {
      await events.close();
    }
  }

  untilRoutes(expected: string[], seconds?: number): Promise<number> {
    const text = [...expected].sort().join();
    return this.until(`routes ${text}`, () => [...this.bgpRoutes].sort().join() === text, seconds);
  }
}

export class Host extends Station {
  readonly address: string;

  constructor(lan: Lan, name: string, namespace: string, address: string) {
    super(lan, name, namespace);
    this.address = address;
  }

  /** Writes its Node record. */
  register(bgp: object = { ipv4Address: `${this.address}/24` }): Promise<void> {
    return this.lan.resource("Node", this.name, { bgp });
  }

  block(cidr: string): Promise<void> {
    return this.lan.put("BlockAffinity", cidr, { state: "confirmed", deleted: false }, `host:${this.name}`);
  }

  start(env: NodeJS.ProcessEnv = {}): void {
    this.launch(process.execPath, [join(REPOSITORY, "bgp/main.ts")], {
      DATASTORE_TYPE: "embedded",
      CALYX_DATASTORE_PATH: join(this.lan.folder, "datastore.db"),
      CALYX_RUN_DIR: join(this.lan.folder, this.name),
      CALYX_BIRD_DIR: join(this.lan.folder, this.name),
      NODENAME: this.name,
      ...env,
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: the daemon's JSON, whose shape the test asserts
  async status(): Promise<any> {
    const answer = await fetchStatus(join(this.lan.folder, this.name, "bgp.sock"));
    return answer?.code === 200 ? JSON.parse(answer.body) : undefined;
  }

  untilReady(): Promise<number> {
    return this.until("ready", async () => {
      const answer = await fetchStatus(join(this.lan.folder, this.name, "bgp.sock"), "/readiness");
      return answer?.code === 204;
    });
  }

  untilEstablished(count: number): Promise<number> {
    return this.until(`${count} sessions`, async () => {
      const { neighbors = [] } = (await this.status()) ?? {};
      return neighbors.filter(({ state }: { state: string }) => state === "Established").length === count;
    });
  }
}

export class Bird extends Station {
  static installed(): boolean {
    try {
      execFileSync("bird", ["--version"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  constructor(lan: Lan, name: string, namespace: string, config: string) {
    super(lan, name, namespace);
    writeFileSync(`${this.#path}.conf`, config);
  }

  get #path(): string {
    return join(this.lan.folder, this.name);
  }

  start(): void {
    this.launch("bird", ["-f", "-c", `${this.#path}.conf`, "-s", `${this.#path}.ctl`]);
  }

  ask(command: string): string {
    return run(this.namespace, "birdc", "-s", `${this.#path}.ctl`, "-r", ...command.split(" "));
  }

  async untilSays(command: string, pattern: RegExp): Promise<string> {
    let answer = "";
    await this.until(`${command} like ${pattern}`, () => {
      try {
        answer = this.ask(command);
      } catch {
        return false; // Its control socket is not there yet.
      }
      return pattern.test(answer);
    });
    return answer;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON
function describe({ type, dst, gateway, nexthops, metric }: any): string {
  const prefix = /\/|default/.test(dst) ? dst : `${dst}/${dst.includes(":") ? 128 : 32}`;
  if (type === "blackhole") return `blackhole ${prefix}`;
  const ways = (nexthops ?? [{ gateway }]).map((way: { gateway: string }) => ` via ${way.gateway}`).join("");
  return `${prefix}${ways}${metric === 1024 ? "" : ` metric ${metric}`}`;
}

/** Changes of our routes in a namespace from now on, as `new 10.65.1.0/26` and `delete …`. */
export function watchBgpRoutes(namespace: string): { changes: string[]; close(): Promise<void> } {
  const changes: string[] = [];
  const subscription = EventSubscription.open({
    namespace,
    groups: ["route"],
    onEvents: events => {
      for (const event of events) {
        if (event.type === "overflow") changes.push("overflow");
        if (event.type !== "route" || event.route.protocol !== RouteProtocol.BGP) continue;
        if ((event.route.table ?? RouteTable.MAIN) !== RouteTable.MAIN) continue;
        changes.push(`${event.action} ${event.route.destination}`);
      }
    },
    onFailure: () => {},
  });
  return { changes, close: () => subscription.close() };
}
