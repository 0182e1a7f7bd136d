/** Networks and workloads of a lab: made as a container platform makes them, with an address, a veth and an endpoint in the datastore. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { WorkloadEndpoint } from "../crd-schemas/index.ts";
import { systemClock } from "../daemon/clock.ts";
import { CalicoClient } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import { readMtuFile } from "../felix/dataplane/overlay/mtu-file.ts";
import { IpAllocator } from "../ipam/allocator.ts";
import { listNamespaces } from "../linux/namespace.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { mtuFileOf } from "./environment.ts";
import { checkNetworkName, checkWorkloadName, labNamespace } from "./plan.ts";
import {
  isAlive,
  killAndWait,
  LAB_VARIABLE,
  type ProcessRef,
  processesIn,
  ROOT,
  startDetached,
} from "./process.ts";
import { endpointNameOf, endpointOf, interfaceNameOf, ORCHESTRATOR, profileOf } from "./resources.ts";
import type { ServedPort } from "./serve.ts";
import { LabError, LabErrorCode, type LabState, type NetworkRecord, type WorkloadRecord } from "./state.ts";
import { deleteNetwork, plugWorkload } from "./wiring.ts";

const TIMEOUT_MS = 20_000;

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

export class Workloads {
  readonly #state: LabState;
  readonly #datastore: () => Promise<Datastore>;

  constructor(state: LabState, datastore: () => Promise<Datastore>) {
    this.#state = state;
    this.#datastore = datastore;
  }

  /** A network is a profile: its members have a label named after it, and let in only each other. */
  async createNetwork(name: string, subnet?: Cidr): Promise<NetworkRecord> {
    checkNetworkName(name);
    const client = await this.#client();
    if (this.#state.networks().some(network => network.name === name)) {
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
    this.#state.writeNetwork(record);
    return record;
  }

  /** Starts a workload; resolves when its policy is in force and its ports answer. */
  async run(name: string, options: RunOptions): Promise<WorkloadRecord> {
    const host = this.#state.host(options.host);
    const lab = this.#state.lab;
    const network = options.network === undefined ? undefined : this.#state.network(options.network);
    checkWorkloadName(name);
    if (lab.hosts.some(each => each.name === name))
      throw new LabError(LabErrorCode.InvalidInput, `workload name "${name}": a host is called so`);
    if (this.#state.workloads().some(workload => workload.name === name)) {
      throw new LabError(LabErrorCode.AlreadyExists, `workload "${name}" exists`);
    }
    const interfaceName = interfaceNameOf(lab.name, name);
    const resourceNamespace = options.namespace ?? "default";
    const handle = `${ORCHESTRATOR}.${lab.name}.${name}`;
    const draft: WorkloadRecord = {
      name,
      host: host.name,
      namespace: labNamespace(lab.name, `w-${name}`),
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
    this.#state.writeWorkload(draft);
    try {
      const addresses = await this.#assign(draft, network, options.ip);
      let workload: WorkloadRecord = { ...draft, addresses };
      this.#state.writeWorkload(workload);
      const mtu = readMtuFile(mtuFileOf(this.#state, host.name));
      plugWorkload(workload.namespace, host.namespace, interfaceName, addresses, mtu);
      await (await this.#client()).create(endpointOf(workload, network, options.labels, options.endpoint));
      const [server] = await Promise.all([this.#serve(workload), this.#untilInForce(workload)]);
      if (server) {
        workload = { ...workload, server };
        this.#state.writeWorkload(workload);
      }
      return workload;
    } catch (error) {
      await this.remove(name).catch(() => {});
      throw error;
    }
  }

  /** Ends a workload and gives its addresses back. */
  async remove(name: string): Promise<void> {
    const workload = this.#state.workload(name);
    const client = await this.#client();
    await client
      .delete("WorkloadEndpoint", workload.resourceName, workload.resourceNamespace)
      .catch(ignoreNotFound);
    if (listNamespaces().includes(workload.namespace)) {
      await Promise.all(processesIn(workload.namespace).map(ref => killAndWait(ref)));
      deleteNetwork(workload.namespace);
    }
    await new IpAllocator(await this.#datastore()).releaseByHandle(workload.handle);
    this.#state.deleteWorkload(name);
  }

  async #assign(
    workload: WorkloadRecord,
    network: NetworkRecord | undefined,
    wanted: Ip | undefined,
  ): Promise<Ip[]> {
    const allocator = new IpAllocator(await this.#datastore());
    const owner = { node: workload.host, use: "Workload" as const, handle: workload.handle };
    if (wanted !== undefined) {
      await allocator.assignIp({ ...owner, ip: wanted });
      return [wanted];
    }
    const pools = network?.subnet === undefined ? undefined : [network.subnet];
    const num6 = this.#state.lab.pool6 === undefined ? 0 : 1;
    const { ipv4, ipv6 } = await allocator.autoAssign({
      ...owner,
      num4: 1,
      num6,
      ...(pools && { pools4: pools }),
    });
    return [...ipv4, ...ipv6].map(assigned => assigned.ip);
  }

  async #untilInForce(workload: WorkloadRecord): Promise<void> {
    const file = this.#state.hostPath(
      workload.host,
      "run",
      "endpoint-status",
      `${workload.resourceNamespace}.${workload.resourceName}`,
    );
    const deadline = Date.now() + TIMEOUT_MS;
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
    const log = join(this.#state.directory, "workloads", `${workload.name}.log`);
    const specs = workload.serve.map(({ protocol, port }) => `${protocol}:${port}`);
    const command = [process.execPath, join(ROOT, "lab", "serve.ts"), workload.name, ...specs];
    const env = { [LAB_VARIABLE]: this.#state.lab.name };
    const ref = startDetached(command, { namespace: workload.namespace, log, env });
    const deadline = Date.now() + TIMEOUT_MS;
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

  async #client(): Promise<CalicoClient> {
    return new CalicoClient(await this.#datastore());
  }
}

function ignoreNotFound(error: unknown): void {
  if (!isDatastoreError(error, "NOT_FOUND")) throw error;
}
