/**
 * A laboratory: hosts in network namespaces, each with its own felix and bgp, on one datastore. What the demo shows, what
 * system tests use, and what a user plays with (`calctl lab`).
 *
 * A lab is a directory of records and a few namespaces; every command finds its way from these, so labs outlive the
 * command that made them, and several can be up at once.
 */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../daemon/clock.ts";
import { CalicoClient } from "../datastore/client.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { inNamespace, listNamespaces } from "../linux/namespace.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import type { Cidr } from "../net/cidr.ts";
import { type Ip, ip } from "../net/ip.ts";
import { hostInterfaces } from "../node/interfaces.ts";
import { startNode } from "../node/startup.ts";
import { HostDaemons } from "./daemons.ts";
import type { LabEncapsulation } from "./encapsulation.ts";
import { datastoreEnvironment, hostEnvironment } from "./environment.ts";
import { startEtcd, startEtcdServer } from "./etcd.ts";
import {
  checkLabName,
  DEFAULT_POOL,
  FABRIC_ADDRESS,
  FABRIC6_ADDRESS,
  fabricAddresses,
  gatewaysOf,
  hostRecords,
  labNamespace,
  POOL6,
  TOR_AS,
  wireAddresses,
} from "./plan.ts";
import { killAndWait, LAB_VARIABLE, processesIn, processesOfLabs, ROOT, startDetached } from "./process.ts";
import {
  type Daemon,
  type HostRecord,
  type LabDataplane,
  type LabDatastore,
  LabError,
  LabErrorCode,
  type LabRecord,
  LabState,
  type LabTopology,
  type NetworkRecord,
  type WorkloadRecord,
} from "./state.ts";
import { reserveFabric, writeTopology } from "./topology.ts";
import { createFabric, deleteNetwork, plugHost } from "./wiring.ts";
import { type RunOptions, Workloads } from "./workloads.ts";

export interface UpOptions {
  readonly hosts: number;
  readonly datastore?: LabDatastore;
  readonly topology?: LabTopology;
  readonly dataplane?: LabDataplane;
  /** With `…-cross-subnet`, hosts stand in two subnets by turns. */
  readonly encapsulation?: LabEncapsulation;
  readonly pool?: Cidr;
  /** A second address for everything. */
  readonly ipv6?: boolean;
}

export class Lab {
  readonly name: string;
  readonly state: LabState;
  readonly #daemons: HostDaemons;
  readonly #workloads: Workloads;
  #connection: Promise<Datastore> | undefined;

  constructor(name = "calyx") {
    this.name = checkLabName(name);
    this.state = new LabState(name);
    this.#daemons = new HostDaemons(this.state);
    this.#workloads = new Workloads(this.state, () => this.datastore());
  }

  // Up and down

  async up(options: UpOptions): Promise<LabRecord> {
    requireRoot();
    const record: LabRecord = {
      name: this.name,
      datastore: options.datastore ?? "embedded",
      topology: options.topology ?? "mesh",
      ...(options.dataplane && { dataplane: options.dataplane }),
      ...(options.encapsulation && { encapsulation: options.encapsulation }),
      pool: options.pool ?? DEFAULT_POOL,
      ...(options.ipv6 && { pool6: POOL6 }),
      fabric: labNamespace(this.name, "fabric"),
      hosts: hostRecords(this.name, options),
    };
    this.state.createLab(record);
    try {
      createFabric(record.fabric, fabricAddresses(record.pool6 !== undefined));
      for (const [i, host] of record.hosts.entries()) {
        plugHost(
          host.namespace,
          wireAddresses(host.address, host.address6),
          record.fabric,
          `port${i + 1}`,
          gatewaysOf(host),
        );
      }
      if (record.datastore === "etcd") {
        const etcd = await startEtcd({
          lab: this.name,
          fabric: record.fabric,
          address: FABRIC_ADDRESS,
          directory: this.state.directory,
        });
        this.state.writeProcess("etcd", etcd.server);
        this.state.writeProcess("relay", etcd.relay);
        this.state.writeLab({ ...record, etcdEndpoint: etcd.endpoint });
      }
      await reserveFabric(await this.client());
      for (const host of record.hosts) await this.#register(host);
      await writeTopology(await this.client(), record);
      if (record.topology === "tor") this.#startTor(record);
      await this.#daemons.startAll();
    } catch (error) {
      await this.down();
      throw error;
    }
    return record;
  }

  /** Ends every process in the lab's namespaces, and removes these and the records. Whatever is missing already is fine. */
  async down(): Promise<void> {
    requireRoot();
    await this.close();
    const mine = listNamespaces().filter(name => name.startsWith(labNamespace(this.name, "")));
    const processes = [
      ...this.state.processes(),
      ...processesOfLabs().filter(({ lab }) => lab === this.name),
      ...mine.flatMap(namespace => processesIn(namespace)),
    ].filter(({ pid }) => pid !== process.pid);
    await Promise.all(processes.map(ref => killAndWait(ref)));
    for (const namespace of mine) deleteNetwork(namespace);
    this.state.remove();
  }

  /** Closes the connection to the datastore. The lab stays up. */
  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await (await connection?.catch(() => undefined))?.close();
  }

  get record(): LabRecord {
    return this.state.lab;
  }

  /** What a program needs in its environment to use the lab's datastore. */
  datastoreEnvironment(): Record<string, string> {
    return datastoreEnvironment(this.state);
  }

  // Daemons

  /** Whether it was running. */
  kill(host: string, daemon: Daemon): Promise<boolean> {
    return this.#daemons.kill(host, daemon);
  }

  /** Resolves when it is ready; at once where it runs. */
  async start(host: string, daemon: Daemon): Promise<void> {
    await this.#daemons.start(this.state.host(host), daemon);
  }

  /** The etcd of the lab: the hosts go on without. */
  async killEtcd(): Promise<void> {
    const ref = this.state.process("etcd");
    if (ref) await killAndWait(ref);
  }

  async startEtcd(): Promise<void> {
    const endpoint = this.record.etcdEndpoint;
    if (endpoint === undefined)
      throw new LabError(LabErrorCode.InvalidInput, `lab "${this.name}" has no etcd`);
    const { directory } = this.state;
    this.state.writeProcess("etcd", await startEtcdServer({ lab: this.name, directory, endpoint }));
  }

  async #register(host: HostRecord): Promise<void> {
    using kernel = Rtnetlink.open({ namespace: host.namespace });
    await startNode({
      datastore: await this.datastore(),
      env: hostEnvironment(this.state, host),
      interfaces: () => hostInterfaces(kernel),
      ipv6: this.record.pool6 !== undefined,
    });
  }

  #startTor(record: LabRecord): void {
    const own = record.pool6 ? `${FABRIC_ADDRESS},${FABRIC6_ADDRESS}` : FABRIC_ADDRESS;
    const hosts = record.hosts.flatMap(({ address, address6, asn }) =>
      [address, ...(address6 ? [address6] : [])].map(each => `${each}=${asn}`),
    );
    const command = [process.execPath, join(ROOT, "lab", "tor.ts"), String(TOR_AS), own, ...hosts];
    const log = join(this.state.directory, "tor.log");
    const env = { [LAB_VARIABLE]: this.name };
    this.state.writeProcess("tor", startDetached(command, { namespace: record.fabric, log, env }));
  }

  // Networks and workloads

  /** A network is a profile: its members have a label named after it, and let in only each other. */
  createNetwork(name: string, subnet?: Cidr): Promise<NetworkRecord> {
    return this.#workloads.createNetwork(name, subnet);
  }

  /** Starts a workload; resolves when its policy is in force and its ports answer. */
  run(name: string, options: RunOptions): Promise<WorkloadRecord> {
    return this.#workloads.run(name, options);
  }

  /** Ends a workload and gives its addresses back. */
  async remove(name: string): Promise<void> {
    await this.#workloads.remove(name);
  }

  // Inside

  /** Runs a command inside a workload or a host; on a host, with the environment to reach the lab's datastore. */
  exec(name: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const host = this.record.hosts.find(each => each.name === name);
    const namespace = host?.namespace ?? this.state.workload(name).namespace;
    const env = {
      ...process.env,
      [LAB_VARIABLE]: this.name,
      ...(host && hostEnvironment(this.state, host)),
      ...options.env,
    };
    return inNamespace(namespace, () => spawn(command[0] as string, command.slice(1), { ...options, env }));
  }

  /** The address of a workload or host, or the address that `text` is. */
  addressOf(text: string): Ip {
    if (/^[0-9a-f:.]+$/.test(text) && /[.:]/.test(text)) return ip(text);
    const host = this.record.hosts.find(each => each.name === text);
    const [address] = host ? [host.address] : this.state.workload(text).addresses;
    if (address === undefined) throw new LabError(LabErrorCode.NotFound, `workload "${text}" has no address`);
    return address;
  }

  namespaceOf(name: string): string {
    return (
      this.record.hosts.find(host => host.name === name)?.namespace ?? this.state.workload(name).namespace
    );
  }

  datastore(): Promise<Datastore> {
    this.#connection ??= connect(datastoreConfig({ env: this.datastoreEnvironment() }), {
      clock: systemClock,
    });
    return this.#connection;
  }

  async client(): Promise<CalicoClient> {
    return new CalicoClient(await this.datastore());
  }
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new LabError(
      LabErrorCode.NotRoot,
      "a lab is made of network namespaces: please run as root (sudo)",
    );
  }
}
