/**
 * What a lab consists of, on disk: one directory per lab, one file per thing in it, so that concurrent commands on one
 * lab do not overwrite each other's news. Whatever can be read off the kernel or the datastore is not kept here.
 */

import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { LabEncapsulation } from "./encapsulation.ts";
import type { ProcessRef } from "./process.ts";
import type { ServedPort } from "./serve.ts";

export type LabDatastore = "embedded" | "etcd";
export type LabTopology = "mesh" | "rr" | "tor";
/** What its hosts filter packets with. */
export const LAB_DATAPLANES = ["iptables", "nftables"] as const;
export type LabDataplane = (typeof LAB_DATAPLANES)[number];

export interface LabRecord {
  readonly name: string;
  readonly datastore: LabDatastore;
  /** Where the machine itself reaches the lab's etcd. */
  readonly etcdEndpoint?: string;
  readonly topology: LabTopology;
  /** Absent: what the configuration says. */
  readonly dataplane?: LabDataplane;
  /** Absent: none. */
  readonly encapsulation?: LabEncapsulation;
  /** In the order of their addresses. */
  readonly hosts: readonly HostRecord[];
  readonly pool: Cidr;
  /** With IPv6: the pool of the workloads' second address. */
  readonly pool6?: Cidr;
  /** The namespace of the wire between the hosts. */
  readonly fabric: string;
}

export interface HostRecord {
  readonly name: string;
  /** Network namespace. */
  readonly namespace: string;
  readonly address: Ip;
  readonly address6?: Ip;
  /** Where not the cluster's. */
  readonly asn?: number;
}

export interface NetworkRecord {
  readonly name: string;
  /** Name of the profile that is this network. */
  readonly profile: string;
  /** CIDR of the pool its workloads get addresses from; any pool where absent. */
  readonly subnet?: Cidr;
}

export interface WorkloadRecord {
  readonly name: string;
  readonly host: string;
  /** Network namespace. */
  readonly namespace: string;
  readonly network?: string;
  /** Kubernetes-like namespace of the endpoint resource. */
  readonly resourceNamespace: string;
  readonly resourceName: string;
  /** Where it is known as a pod of Kubernetes. */
  readonly pod?: string;
  /** Host side of the veth. */
  readonly interfaceName: string;
  readonly addresses: readonly Ip[];
  readonly handle: string;
  readonly serve: readonly ServedPort[];
  readonly server?: ProcessRef;
}

export type Daemon = "felix" | "bgp";

export const LabErrorCode = {
  NotFound: "NOT_FOUND",
  AlreadyExists: "ALREADY_EXISTS",
  InvalidInput: "INVALID_INPUT",
  TimedOut: "TIMED_OUT",
  NotRoot: "NOT_ROOT",
} as const;
export type LabErrorCode = (typeof LabErrorCode)[keyof typeof LabErrorCode];

export class LabError extends Error {
  readonly code: LabErrorCode;
  constructor(code: LabErrorCode, message: string) {
    super(message);
    this.name = "LabError";
    this.code = code;
  }
}

type Collection = "networks" | "workloads" | "processes";

export class LabState {
  readonly directory: string;

  constructor(lab: string, root = process.env["CALYX_LAB_DIR"] ?? "/run/calyx/labs") {
    this.directory = join(root, lab);
  }

  get exists(): boolean {
    return existsSync(join(this.directory, "lab.json"));
  }

  get lab(): LabRecord {
    if (!this.exists) {
      const name = basename(this.directory);
      throw new LabError(
        LabErrorCode.NotFound,
        `no lab "${name}" is up; "calctl lab up --hosts 2" starts one`,
      );
    }
    return JSON.parse(readFileSync(join(this.directory, "lab.json"), "utf8")) as LabRecord;
  }

  /** Of two that start a lab of one name at once, one may. @throws LabError ALREADY_EXISTS */
  createLab(record: LabRecord): void {
    const path = join(this.directory, "lab.json");
    const refuse = () =>
      new LabError(LabErrorCode.AlreadyExists, `lab "${record.name}" is up; "calctl lab down" ends it`);
    if (this.exists) throw refuse();
    const draft = join(this.directory, `draft-${process.pid}`);
    this.#write(draft, record);
    try {
      linkSync(draft, path);
    } catch (error) {
      throw (error as NodeJS.ErrnoException).code === "EEXIST" ? refuse() : error;
    } finally {
      rmSync(draft, { force: true });
    }
  }

  writeLab(record: LabRecord): void {
    this.#write(join(this.directory, "lab.json"), record);
  }

  /** Paths of a host's own files: what would be /var/run/calico, /var/lib/calico and /var/log/calico on a real one. */
  hostPath(host: string, ...more: string[]): string {
    return join(this.directory, "hosts", host, ...more);
  }

  networks(): NetworkRecord[] {
    return this.#list("networks");
  }

  workloads(): WorkloadRecord[] {
    return this.#list("workloads");
  }

  network(name: string): NetworkRecord {
    return this.#read("networks", name) ?? this.#missing("network", name, this.networks());
  }

  workload(name: string): WorkloadRecord {
    return this.#read("workloads", name) ?? this.#missing("workload", name, this.workloads());
  }

  host(name: string): HostRecord {
    return this.lab.hosts.find(host => host.name === name) ?? this.#missing("host", name, this.lab.hosts);
  }

  writeNetwork(record: NetworkRecord): void {
    this.#write(this.#path("networks", record.name), record);
  }

  writeWorkload(record: WorkloadRecord): void {
    this.#write(this.#path("workloads", record.name), record);
  }

  deleteWorkload(name: string): void {
    rmSync(this.#path("workloads", name), { force: true });
  }

  /** Processes by what they are: `host1-felix`, `etcd`. */
  process(name: string): ProcessRef | undefined {
    return this.#read("processes", name);
  }

  writeProcess(name: string, process: ProcessRef): void {
    this.#write(this.#path("processes", name), process);
  }

  /** Every process there is a record of. */
  processes(): ProcessRef[] {
    return [
      ...this.#list<ProcessRef>("processes"),
      ...this.workloads().flatMap(({ server }) => server ?? []),
    ];
  }

  /** And the directories above it, where they hold nothing else. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
    try {
      for (let parent = dirname(this.directory); parent.includes("calyx"); parent = dirname(parent))
        rmdirSync(parent);
    } catch {
      // Not empty, or another lab's end was faster.
    }
  }

  #path(collection: Collection, name: string): string {
    return join(this.directory, collection, `${encodeURIComponent(name)}.json`);
  }

  #read<T>(collection: Collection, name: string): T | undefined {
    const path = this.#path(collection, name);
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as T) : undefined;
  }

  #list<T>(collection: Collection): T[] {
    const directory = join(this.directory, collection);
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .filter(file => file.endsWith(".json"))
      .sort()
      .map(file => JSON.parse(readFileSync(join(directory, file), "utf8")) as T);
  }

  /** Whole or not at all: a reader never sees half a file. */
  #write(path: string, value: unknown): void {
    const temporary = `${path}.${process.pid}.tmp`;
    for (let attempt = 1; ; attempt++) {
      mkdirSync(dirname(path), { recursive: true });
      try {
        writeFileSync(temporary, `${JSON.stringify(value, undefined, 2)}\n`);
        break;
      } catch (error) {
        // The end of the last other lab may have taken the common directory away just now.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === 3) throw error;
      }
    }
    renameSync(temporary, path);
  }

  #missing(what: string, name: string, there: readonly { readonly name: string }[]): never {
    void this.lab; // says so where there is none at all
    const names = there.map(item => item.name).join(", ") || "none";
    throw new LabError(LabErrorCode.NotFound, `no ${what} "${name}" in this lab; there is: ${names}`);
  }
}

/** Labs that are up. */
export function listLabs(root = process.env["CALYX_LAB_DIR"] ?? "/run/calyx/labs"): string[] {
  return existsSync(root) ? readdirSync(root).filter(name => existsSync(join(root, name, "lab.json"))) : [];
}
