/**
 * A host in a network namespace of its own, with workloads in others: the calculation, the dataplane and the real
 * kernel, everything but the datastore. What was started ends with `stop`; namespaces go with ScratchNamespaces.
 */

import { spawn } from "node:child_process";
import { setImmediate } from "node:timers/promises";
import { pino } from "pino";
import { systemClock } from "../../../daemon/clock.ts";
import type { Update } from "../../../datastore/reflector.ts";
import { type FelixConfig, resolveConfig } from "../../../felix/calc/config.ts";
import { FlowJudge } from "../../../felix/calc/flow-judge.ts";
import { CalcGraph } from "../../../felix/calc/graph.ts";
import { createPacketFilter } from "../../../felix/dataplane/choose.ts";
import { Dataplane } from "../../../felix/dataplane/dataplane.ts";
import { EstablishedFlows } from "../../../felix/dataplane/established-flows.ts";
import { HostInterfaces } from "../../../felix/dataplane/host-interfaces.ts";
import { createIptablesFilter } from "../../../felix/dataplane/iptables/iptables-filter.ts";
import { createNftablesFilter } from "../../../felix/dataplane/nftables/nftables-filter.ts";
import type { PacketFilter } from "../../../felix/dataplane/packet-filter.ts";
import { WorkloadLinks } from "../../../felix/dataplane/workload-links.ts";
import { createRunner, type Run, type Variant } from "../../../felix/iptables-ts/index.ts";
import { Conntrack } from "../../../linux/conntrack.ts";
import { EventSubscription } from "../../../linux/events.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { writeSysctl } from "../../../linux/sysctl.ts";
import { HERE } from "../../unit/felix/calc/resources.ts";
import { run, type ScratchNamespaces } from "../linux/scratch-namespace.ts";

/** iptables by variant, or nftables. */
export type DataplaneKind = Variant | "nftables";
export const DATAPLANES: readonly DataplaneKind[] = ["nft", "legacy", "nftables"];

export class FelixHost {
  readonly namespace: string;
  readonly filter: PacketFilter;
  readonly problems: string[] = [];
  /** Programs that changed the kernel. */
  readonly restores: string[] = [];
  readonly ready = new Set<string>();
  /** Established connections that were ended, and how often there was a look at them. */
  cut = 0;
  looks = 0;
  readonly #graph = new CalcGraph({
    nodeName: HERE,
    onProblem: ({ message }) => void this.problems.push(message),
  });
  readonly #dataplane: Dataplane;
  readonly #stop = new AbortController();
  readonly #rtnetlink: Rtnetlink;
  readonly #conntrack: Conntrack;
  readonly #interfaces: HostInterfaces;
  #events: EventSubscription | undefined;
  #running: Promise<void> | undefined;
  #applied: (() => void)[] = [];
  #lastOk = false;

  private constructor(namespace: string, filter: PacketFilter, config: FelixConfig, restores: string[]) {
    this.namespace = namespace;
    this.filter = filter;
    this.restores = restores;
    this.#graph.configure(config);
    const logger = pino({ level: process.env["CALYX_LOG"] ?? "silent" });
    this.#rtnetlink = Rtnetlink.open({ namespace });
    this.#conntrack = Conntrack.open({ namespace });
    const links = new WorkloadLinks({
      rtnetlink: this.#rtnetlink,
      conntrack: this.#conntrack,
      config,
      logger,
      clock: systemClock,
      setParameter: (parameter, value) => void writeSysctl(parameter, value, { namespace }),
    });
    const status = {
      start: () => {},
      write: ({ id }: { id: string }) => void this.ready.add(id),
      remove: (id: string) => void this.ready.delete(id),
    };
    this.#interfaces = new HostInterfaces({
      rtnetlink: this.#rtnetlink,
      interfacePrefix: config.interfacePrefix,
    });
    const flows = new EstablishedFlows({
      judge: new FlowJudge({ membership: this.#graph.membership, config }),
      conntrack: this.#conntrack,
      host: () => this.#interfaces.view(),
      logger,
      clock: systemClock,
      onCut: count => {
        this.cut += count;
        this.looks++;
      },
    });
    this.#dataplane = new Dataplane({
      filter,
      links,
      status,
      ...(config.establishedFlows === "Follow" && { flows }),
      config,
      logger,
      clock: systemClock,
      onApplied: ({ ok }) => {
        this.#lastOk = ok;
        for (const wake of this.#applied.splice(0)) wake();
      },
    });
  }

  static async create(namespace: string, kind: DataplaneKind, options: HostOptions = {}): Promise<FelixHost> {
    writeSysctl("net/ipv4/ip_forward", 1, { namespace });
    writeSysctl("net/ipv6/conf/all/forwarding", 1, { namespace });
    addUplink(namespace);
    const restores: string[] = [];
    const config = configOf({ ...(kind !== "nftables" && { iptablesBackend: kind }), ...options.values });
    if (options.takesOver) {
      const run = createRunner({ prefix: ["ip", "netns", "exec", namespace] });
      const logger = pino({ level: "silent" });
      const name = kind === "nftables" ? kind : "iptables";
      const filter = await createPacketFilter(name, config, { run, namespace, logger, clock: systemClock });
      return new FelixHost(namespace, filter, config, restores);
    }
    if (kind === "nftables") {
      const { ownTables } = options;
      const filter = createNftablesFilter(config, {
        namespace,
        ...(ownTables !== undefined && { ownTables }),
      });
      return new FelixHost(namespace, filter, config, restores);
    }
    const spied = spy(createRunner({ prefix: ["ip", "netns", "exec", namespace] }), restores);
    const filter = await createIptablesFilter(config, { run: spied, namespace });
    return new FelixHost(namespace, filter, config, restores);
  }

  /** In sync with these resources, and all of them applied. */
  async start(...updates: readonly Update[]): Promise<void> {
    this.#graph.apply(updates);
    this.#interfaces.read();
    this.#graph.setHostInterfaces(this.#interfaces.list());
    this.#dataplane.update(this.#graph.drain());
    this.#events = EventSubscription.open({
      namespace: this.namespace,
      groups: ["link", "route"],
      onEvents: events => this.#dataplane.noteKernelEvents(events),
      onFailure: error => {
        throw error;
      },
    });
    this.#running = this.#dataplane.run(this.#stop.signal);
    this.#dataplane.start();
    await this.#passed();
  }

  async apply(...updates: readonly Update[]): Promise<void> {
    this.#graph.apply(updates);
    this.#dataplane.update(this.#graph.drain());
    await this.#passed();
  }

  /** Looks at the kernel and repairs it, as the timers do. */
  async repair(): Promise<void> {
    await this.filter.resync("rules");
    await this.filter.resync("sets");
    await this.apply();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("stopped"));
    await this.#running;
    await this.#events?.close();
    this.#rtnetlink.close();
    this.#conntrack.close();
    await this.filter.close?.();
  }

  /** A pass that was on its way already does not count. */
  async #passed(): Promise<void> {
    do {
      await new Promise<void>(resolve => this.#applied.push(resolve));
      if (!this.#lastOk) throw new Error(`not applied: ${this.#dataplane.failure}`);
      await setImmediate();
    } while (!this.#dataplane.settled);
  }
}

/** As every host has one: proxy ARP answers for the gateway only where there is a way to it. */
function addUplink(namespace: string): void {
  if (run(namespace, "ip", "link").includes("uplink")) return;
  run(namespace, "ip", "link", "add", "uplink", "type", "bridge");
  run(namespace, "ip", "addr", "add", "192.0.2.1/24", "dev", "uplink");
  run(namespace, "ip", "link", "set", "uplink", "up");
  run(namespace, "ip", "route", "add", "default", "via", "192.0.2.254");
}

export interface HostOptions {
  readonly values?: ConfigValues;
  /** nftables: whether its tables are to be owned; default: as the kernel can. */
  readonly ownTables?: boolean;
  /** Removes what another kind of dataplane has left, as the agent does. */
  readonly takesOver?: boolean;
}

type ConfigValues = Readonly<Record<string, unknown>>;

const configOf = (values: ConfigValues): FelixConfig => resolveConfig([{ source: "test", values }]).config;

/** Notes what is written, by starting a program or to one that stays. */
function spy(inner: Run, restores: string[]): Run {
  const outer: Run = (command, args, stdin) => {
    if (stdin !== undefined && !args.includes("--version")) restores.push(stdin);
    return inner(command, args, stdin);
  };
  const start = inner.start;
  if (!start) return outer;
  return Object.assign(outer, {
    start: (...args: Parameters<typeof start>) => {
      const child = start(...args);
      const { write } = child.stdin;
      child.stdin.write = ((...words: Parameters<typeof write>) => {
        const text = String(words[0]);
        // Anything but a greeting.
        if (/^\*/m.test(text)) restores.push(text);
        return write.apply(child.stdin, words);
      }) as typeof write;
      return child;
    },
  });
}

/** A workload: a namespace behind `cali<name>`, with Calico's gateway. */
export class Pod {
  readonly namespace: string;
  readonly interfaceName: string;

  constructor(scratch: ScratchNamespaces, host: string, name: string, addresses: readonly string[]) {
    this.namespace = scratch.create();
    this.interfaceName = `cali${name}`;
    // Else the gateway's link-local address does not answer for the first seconds.
    for (const namespace of [host, this.namespace])
      writeSysctl("net/ipv6/conf/default/accept_dad", 0, { namespace });
    const ip = (words: string) => run(this.namespace, "ip", ...words.split(" "));
    run(
      host,
      "ip",
      "link",
      "add",
      this.interfaceName,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      this.namespace,
    );
    run(host, "ip", "link", "set", this.interfaceName, "address", "ee:ee:ee:ee:ee:ee", "up");
    ip("link set lo up");
    ip("link set eth0 up");
    for (const address of addresses) {
      if (address.includes(":")) {
        ip(`addr add ${address}/128 dev eth0 nodad`);
        ip("-6 route add default via fe80::ecee:eeff:feee:eeee dev eth0");
      } else {
        ip(`addr add ${address}/32 dev eth0`);
        ip("route add 169.254.1.1 dev eth0 scope link");
        ip("route add default via 169.254.1.1 dev eth0");
      }
    }
  }

  /** Whether the address answers a ping. */
  pings(address: string): Promise<boolean> {
    return succeeds(this.namespace, "ping", "-c", "1", "-W", "1", address);
  }

  reaches(address: string, port: number): Promise<boolean> {
    return reaches(this.namespace, address, port);
  }
}

/** Whether somebody answers at the port. Refused by the other end counts: the packet got there. */
export async function reaches(namespace: string, address: string, port: number): Promise<boolean> {
  const script = `exec 3<>/dev/tcp/${address}/${port} || exit 1`;
  const { stderr, code } = await output(namespace, "timeout", "1", "bash", "-c", script);
  return code === 0 || stderr.includes("refused");
}

async function succeeds(namespace: string, ...command: readonly string[]): Promise<boolean> {
  return (await output(namespace, ...command)).code === 0;
}

function output(
  namespace: string,
  ...command: readonly string[]
): Promise<{ code: number | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("ip", ["netns", "exec", namespace, ...command], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", code => resolve({ code, stderr }));
  });
}
