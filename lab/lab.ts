/**
 * A laboratory: hosts in network namespaces, each with its own felix and bgp, on one datastore. What the demo shows, what
 * system tests use, and what a user plays with (`calctl lab`).
 *
 * A lab is a directory of records and a few namespaces; every command finds its way from these, so labs outlive the
 * command that made them, and several can be up at once.
 */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { WorkloadEndpoint } from "../crd-schemas/index.ts";
import { systemClock } from "../daemon/clock.ts";
import { fetchStatus } from "../daemon/status-server.ts";
import { CalicoClient } from "../datastore/client.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import { readMtuFile } from "../felix/dataplane/overlay/mtu-file.ts";
import { IpAllocator } from "../ipam/allocator.ts";
import { deleteNamespace, inNamespace, listNamespaces } from "../linux/namespace.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import type { Cidr } from "../net/cidr.ts";
import { type Ip, ip } from "../net/ip.ts";
import { hostInterfaces } from "../node/interfaces.ts";
import { startNode } from "../node/startup.ts";
import { type LabEncapsulation, poolVariables } from "./encapsulation.ts";
import { ETCD_PORT, startEtcd, startEtcdServer } from "./etcd.ts";
import {
  checkLabName,
  checkNetworkName,
  checkWorkloadName,
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
import {
  isAlive,
  killAndWait,
  LAB_VARIABLE,
  type ProcessRef,
  processesIn,
  processesOfLabs,
  startDetached,
} from "./process.ts";
import { endpointNameOf, endpointOf, interfaceNameOf, ORCHESTRATOR, profileOf } from "./resources.ts";
import type { ServedPort } from "./serve.ts";
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
import { reserveFabric, sessionsOf, writeTopology } from "./topology.ts";
import { createFabric, plugHost, plugWorkload } from "./wiring.ts";

const ROOT = join(import.meta.dirname, "..");
const DAEMONS: readonly Daemon[] = ["felix", "bgp"];
const READY_TIMEOUT_MS = 20_000;
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

export interface RunOptions {
  readonly host: string;
  readonly network?: string | undefined;
  readonly namespace?: string | undefined;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ip?: Ip | undefined;
  readonly serve?: readonly ServedPort[];
  /** It is known as Kubernetes' pod of this name. */
  readonly pod?: string;
  /** More of the endpoint resource, in place of what a lab's endpoint has. */
  readonly endpoint?: WorkloadEndpoint["spec"];
}

export class Lab {
  readonly name: string;
  readonly state: LabState;
  #connection: Promise<Datastore> | undefined;

  constructor(name = "calyx") {
    this.name = checkLabName(name);
    this.state = new LabState(name);
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
      for (const host of record.hosts) for (const daemon of DAEMONS) this.#start(host, daemon);
      await Promise.all(record.hosts.flatMap(host => DAEMONS.map(daemon => this.#untilReady(host, daemon))));
      await Promise.all(record.hosts.map(host => this.untilPeered(host.name)));
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
    for (const namespace of mine) {
      // Interfaces go with the namespace, but at the kernel's leisure: nothing of ours shall be seen once we return.
      deleteLinks(namespace);
      deleteNamespace(namespace);
    }
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
    const { etcdEndpoint } = this.record;
    return etcdEndpoint === undefined
      ? { DATASTORE_TYPE: "embedded", CALYX_DATASTORE_PATH: join(this.state.directory, "datastore.db") }
      : { DATASTORE_TYPE: "etcdv3", ETCD_ENDPOINTS: etcdEndpoint };
  }

  // Daemons

  /** Whether it was running. */
  async kill(host: string, daemon: Daemon): Promise<boolean> {
    const ref = this.state.process(`${host}-${daemon}`);
    if (!ref || !isAlive(ref)) return false;
    await killAndWait(ref);
    return true;
  }

  async start(hostName: string, daemon: Daemon): Promise<void> {
    const host = this.state.host(hostName);
    const ref = this.state.process(`${hostName}-${daemon}`);
    if (ref && isAlive(ref)) return;
    this.#start(host, daemon);
    await this.#untilReady(host, daemon);
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

  #start(host: HostRecord, daemon: Daemon): ProcessRef {
    const log = this.state.hostPath(host.name, `${daemon}.log`);
    const ref = startDetached([join(ROOT, "bin", daemon)], {
      namespace: host.namespace,
      log,
      env: this.#hostEnvironment(host),
    });
    this.state.writeProcess(`${host.name}-${daemon}`, ref);
    return ref;
  }

  async #untilReady(host: HostRecord, daemon: Daemon): Promise<void> {
    const socket = this.state.hostPath(host.name, "run", `${daemon}.sock`);
    const ref = this.state.process(`${host.name}-${daemon}`);
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
    const log = this.state.hostPath(host.name, `${daemon}.log`);
    const tail = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n").slice(-5).join("\n") : "";
    throw new LabError(LabErrorCode.TimedOut, `${daemon} on ${host.name} is not ready: ${reason}\n${tail}`);
  }

  /** Resolves when every BGP session of the host is up. */
  async untilPeered(hostName: string): Promise<void> {
    const socket = this.state.hostPath(hostName, "run", "bgp.sock");
    const expected = sessionsOf(this.record, this.state.host(hostName));
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
          `BGP on ${hostName} is not up: ${down.join(", ") || "no neighbors yet"}`,
        );
      }
      await systemClock.sleep(50);
    }
  }

  #hostEnvironment(host: HostRecord): Record<string, string> {
    const run = this.state.hostPath(host.name, "run");
    mkdirSync(run, { recursive: true });
    return {
      [LAB_VARIABLE]: this.name,
      ...this.datastoreEnvironment(),
      // On the wire, not on the machine's loopback.
      ...(this.record.datastore === "etcd" && { ETCD_ENDPOINTS: `http://${FABRIC_ADDRESS}:${ETCD_PORT}` }),
      NODENAME: host.name,
      CALICO_NODENAME_FILE: this.state.hostPath(host.name, "lib", "nodename"),
      CALYX_RUN_DIR: run,
      CALYX_BIRD_DIR: run,
      CALICO_MTU_FILE: this.#mtuFile(host.name),
      FELIX_ENDPOINTSTATUSPATHPREFIX: run,
      ...(this.record.dataplane && {
        FELIX_NFTABLESMODE: this.record.dataplane === "nftables" ? "Enabled" : "Disabled",
      }),
      IP: `${host.address}/24`,
      IP6: host.address6 === undefined ? "none" : `${host.address6}/64`,
      CALICO_IPV4POOL_CIDR: this.record.pool,
      ...poolVariables(this.record.encapsulation),
      ...(this.record.pool6 && { CALICO_IPV6POOL_CIDR: this.record.pool6 }),
      ...(host.asn !== undefined && { AS: String(host.asn) }),
    };
  }

  #mtuFile(host: string): string {
    return this.state.hostPath(host, "lib", "mtu");
  }

  async #register(host: HostRecord): Promise<void> {
    using kernel = Rtnetlink.open({ namespace: host.namespace });
    await startNode({
      datastore: await this.datastore(),
      env: this.#hostEnvironment(host),
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
  async createNetwork(name: string, subnet?: Cidr): Promise<NetworkRecord> {
    checkNetworkName(name);
    const client = await this.client();
    if (this.state.networks().some(network => network.name === name)) {
      throw new LabError(LabErrorCode.AlreadyExists, `network "${name}" exists`);
    }
    if (subnet !== undefined) {
      const { items: pools } = await client.list("IPPool");
      if (!pools.some(pool => pool.spec.cidr === subnet)) {
        throw new LabError(
          LabErrorCode.InvalidInput,
          `--subnet ${subnet}: The requested subnet must match the CIDR of a configured Calico IP Pool; there is: ${pools.map(pool => pool.spec.cidr).join(", ")}`,
        );
      }
    }
    const profile = profileOf(name);
    const record: NetworkRecord = {
      name,
      profile: profile.metadata.name,
      ...(subnet !== undefined && { subnet }),
    };
    try {
      await client.create(profile);
    } catch (error) {
      if (!isDatastoreError(error, "ALREADY_EXISTS")) throw error;
    }
    this.state.writeNetwork(record);
    return record;
  }

  /** Starts a workload; resolves when its policy is in force and its ports answer. */
  async run(name: string, options: RunOptions): Promise<WorkloadRecord> {
    const host = this.state.host(options.host);
    const network = options.network === undefined ? undefined : this.state.network(options.network);
    checkWorkloadName(name);
    if (this.record.hosts.some(each => each.name === name))
      throw new LabError(LabErrorCode.InvalidInput, `workload name "${name}": a host is called so`);
    if (this.state.workloads().some(workload => workload.name === name)) {
      throw new LabError(LabErrorCode.AlreadyExists, `workload "${name}" exists`);
    }
    const interfaceName = interfaceNameOf(this.name, name);
    const resourceNamespace = options.namespace ?? "default";
    const handle = `${ORCHESTRATOR}.${this.name}.${name}`;
    const draft: WorkloadRecord = {
      name,
      host: host.name,
      namespace: labNamespace(this.name, `w-${name}`),
      ...(network && { network: network.name }),
      resourceNamespace,
      ...(options.pod !== undefined && { pod: options.pod }),
      resourceName: endpointNameOf(host.name, name, options.pod),
      interfaceName,
      addresses: [],
      handle,
      serve: options.serve ?? [],
    };
    // Recorded before anything exists: whoever cleans up after a crash must know where to look.
    this.state.writeWorkload(draft);
    try {
      const addresses = await this.#assign(draft, network, options.ip);
      let workload: WorkloadRecord = { ...draft, addresses };
      this.state.writeWorkload(workload);
      const mtu = readMtuFile(this.#mtuFile(host.name));
      plugWorkload(workload.namespace, host.namespace, interfaceName, addresses, mtu);
      await (await this.client()).create(endpointOf(workload, network, options.labels, options.endpoint));
      const [server] = await Promise.all([this.#serve(workload), this.#untilInForce(workload)]);
      if (server) {
        workload = { ...workload, server };
        this.state.writeWorkload(workload);
      }
      return workload;
    } catch (error) {
      await this.remove(name).catch(() => {});
      throw error;
    }
  }

  /** Ends a workload and gives its addresses back. */
  async remove(name: string): Promise<void> {
    const workload = this.state.workload(name);
    const client = await this.client();
    await client
      .delete("WorkloadEndpoint", workload.resourceName, workload.resourceNamespace)
      .catch(ignoreNotFound);
    if (listNamespaces().includes(workload.namespace)) {
      await Promise.all(processesIn(workload.namespace).map(ref => killAndWait(ref)));
      deleteLinks(workload.namespace);
      deleteNamespace(workload.namespace);
    }
    await new IpAllocator(await this.datastore()).releaseByHandle(workload.handle);
    this.state.deleteWorkload(name);
  }

  async #assign(
    workload: WorkloadRecord,
    network: NetworkRecord | undefined,
    wanted: Ip | undefined,
  ): Promise<Ip[]> {
    const allocator = new IpAllocator(await this.datastore());
    const owner = { node: workload.host, use: "Workload" as const, handle: workload.handle };
    if (wanted !== undefined) {
      await allocator.assignIp({ ...owner, ip: wanted });
      return [wanted];
    }
    const pools = network?.subnet === undefined ? undefined : [network.subnet];
    const num6 = this.record.pool6 === undefined ? 0 : 1;
    const { ipv4, ipv6 } = await allocator.autoAssign({
      ...owner,
      num4: 1,
      num6,
      ...(pools && { pools4: pools }),
    });
    return [...ipv4, ...ipv6].map(assigned => assigned.ip);
  }

  async #untilInForce(workload: WorkloadRecord): Promise<void> {
    const file = this.state.hostPath(
      workload.host,
      "run",
      "endpoint-status",
      `${workload.resourceNamespace}.${workload.resourceName}`,
    );
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!existsSync(file)) {
      if (Date.now() > deadline) {
        throw new LabError(
          LabErrorCode.TimedOut,
          `felix on ${workload.host} did not put the policy of "${workload.name}" in force`,
        );
      }
      await systemClock.sleep(5);
    }
  }

  async #serve(workload: WorkloadRecord): Promise<ProcessRef | undefined> {
    if (workload.serve.length === 0) return undefined;
    const log = join(this.state.directory, "workloads", `${workload.name}.log`);
    const specs = workload.serve.map(({ protocol, port }) => `${protocol}:${port}`);
    const command = [process.execPath, join(ROOT, "lab", "serve.ts"), workload.name, ...specs];
    const env = { [LAB_VARIABLE]: this.name };
    const ref = startDetached(command, { namespace: workload.namespace, log, env });
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const said = existsSync(log) ? readFileSync(log, "utf8") : "";
      if (/^ready$/m.test(said)) return ref;
      if (/^failed: /m.test(said) || !isAlive(ref) || Date.now() > deadline) {
        throw new LabError(
          LabErrorCode.TimedOut,
          `the server of "${workload.name}" did not start: ${said.trim()}`,
        );
      }
      await systemClock.sleep(10);
    }
  }

  // Inside

  /** Runs a command inside a workload or a host; on a host, with the environment to reach the lab's datastore. */
  exec(name: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const host = this.record.hosts.find(each => each.name === name);
    const namespace = host?.namespace ?? this.state.workload(name).namespace;
    const env = {
      ...process.env,
      [LAB_VARIABLE]: this.name,
      ...(host && this.#hostEnvironment(host)),
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

  /** The dot is in no lab's name: what begins like ours is ours, and not that of a lab called `<name>-more`. */
}

function deleteLinks(namespace: string): void {
  using netlink = Rtnetlink.open({ namespace });
  for (const link of netlink.listLinks()) if (link.name !== "lo") netlink.deleteLink(link.index);
}

function ignoreNotFound(error: unknown): void {
  if (!isDatastoreError(error, "NOT_FOUND")) throw error;
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new LabError(
      LabErrorCode.NotRoot,
      "a lab is made of network namespaces: please run as root (sudo)",
    );
  }
}
