/**
 * Other people's BGP daemons behind one interface, so that a test is written once and run against each.
 *
 * What a daemon is told and what it answers are neutral values; each driver translates. A driver is sure which daemon it talks to: its control socket is a
 * path in its own folder, and what answers there must have the router id it was given. The process ends when we do, however we end.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Family } from "../../../index.ts";
import { exited, until } from "../namespaces.ts";

export interface DaemonNeighbor {
  readonly address: string;
  readonly asn: number;
  /** AS number it shows to this neighbor; default its own. */
  readonly localAsn?: number;
  /** Its end of the session; default its address of the family of `address`. */
  readonly localAddress?: string;
  readonly passive?: boolean;
  readonly password?: string;
  /** GTSM, neighbor on link. */
  readonly ttlSecurity?: boolean;
  /** Default: the family of `address`. */
  readonly families?: readonly Family[];
  /** Seconds, default 90. */
  readonly holdTime?: number;
  readonly reflectorClient?: boolean;
  /** Seconds; default: no graceful restart capability of its own. */
  readonly gracefulRestart?: number;
  /** Seconds of long-lived stale time (RFC 9494). */
  readonly longLived?: number;
  readonly addPath?: "receive" | "send" | "both";
  readonly extendedNextHop?: boolean;
  /** Routes it takes before it closes the session. */
  readonly maxPrefixes?: number;
  /** False: it says nothing of 4-octet AS numbers, as a speaker of before RFC 6793. */
  readonly fourOctetAs?: boolean;
}

export interface DaemonOptions {
  readonly asn: number;
  readonly routerId: string;
  readonly clusterId?: string;
  /** Its addresses; sessions and next hops use them. */
  readonly address: string;
  readonly address6: string;
  readonly neighbors: readonly DaemonNeighbor[];
  /** Known from the start. */
  readonly routes?: readonly OriginatedRoute[];
  /** What it learns goes into the kernel of its namespace. */
  readonly kernel?: boolean;
}

/** A route the daemon originates. */
export interface OriginatedRoute {
  readonly prefix: string;
  /** In front of which its own AS comes towards external neighbors. */
  readonly asPath?: readonly number[];
  readonly med?: number;
  readonly localPref?: number;
  readonly origin?: "igp" | "egp" | "incomplete";
  /** `asn:value`. */
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  /** Route targets, `asn:value` with a 2-octet AS. */
  readonly routeTargets?: readonly string[];
}

/** A path somebody has learned, in words all daemons share: lists sorted, absent values undefined. */
export interface LearnedRoute {
  readonly prefix: string;
  /** The global one. */
  readonly nextHop: string;
  readonly linkLocalNextHop?: string | undefined;
  /** `64512 64513 {1 2}`. */
  readonly asPath: string;
  readonly origin: "igp" | "egp" | "incomplete";
  readonly med: number | undefined;
  readonly localPref: number | undefined;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  /** Route targets as `asn:value`; other kinds are left out, as daemons show them in too many ways. */
  readonly routeTargets: readonly string[];
  readonly originatorId: string | undefined;
  readonly clusterList: readonly string[];
  readonly stale: boolean;
  /** Who sent it. */
  readonly from: string;
}

export interface DaemonSession {
  readonly isEstablished: boolean;
  /** The neighbor's, as the daemon read it in the OPEN. */
  readonly remoteRouterId: string | undefined;
}

export type DaemonName = "bird" | "frr" | "gobgp";

let count = 0;

export abstract class Daemon {
  abstract readonly name: DaemonName;
  readonly namespace: string;
  /** Sockets, configuration and logs. */
  readonly folder: string;
  #options: DaemonOptions;
  readonly #children: ChildProcess[] = [];
  readonly #logs = new Set<string>();

  constructor(namespace: string, folder: string, options: DaemonOptions) {
    this.namespace = namespace;
    this.folder = join(folder, `${this.constructor.name.toLowerCase()}${count++}`);
    mkdirSync(this.folder);
    this.#options = options;
  }

  get options(): DaemonOptions {
    return this.#options;
  }

  /** Resolves when it answers. `recover`: it has been killed, and its neighbors are keeping its routes. */
  abstract start(recover?: boolean): Promise<void>;
  /** Changes neighbors at run time; others keep their sessions. */
  abstract applyNeighbors(): Promise<void>;
  /** As {@link withdraw}, while it is not running: it will start without them. */
  abstract forget(prefixes: readonly string[]): void;
  abstract announce(routes: readonly OriginatedRoute[]): Promise<void>;
  abstract withdraw(prefixes: readonly string[]): Promise<void>;
  /** By address of the neighbor. */
  abstract sessions(): Promise<ReadonlyMap<string, DaemonSession>>;
  /** What it has from a neighbor. */
  abstract received(neighbor: string, family?: Family): Promise<LearnedRoute[]>;
  /** Asks the neighbor to send everything again. */
  abstract askRefresh(neighbor: string): Promise<void>;
  /** Takes the session down until {@link enable}; `text` is the shutdown communication (RFC 9003). */
  abstract shutdown(neighbor: string, text?: string): Promise<void>;
  abstract enable(neighbor: string): Promise<void>;
  abstract reset(neighbor: string, text?: string): Promise<void>;
  /** Why the last session with a neighbor ended, in the daemon's own words. */
  abstract lastError(neighbor: string): Promise<string>;

  async session(neighbor: string): Promise<DaemonSession> {
    const session = (await this.sessions()).get(neighbor);
    if (session === undefined) throw new Error(`${this.name} has no neighbor ${neighbor}`);
    return session;
  }

  async setNeighbors(neighbors: readonly DaemonNeighbor[]): Promise<void> {
    this.#options = { ...this.#options, neighbors };
    await this.applyNeighbors();
  }

  /** As it would die of a crash: nothing is said to anybody. */
  async kill(): Promise<void> {
    const child = this.main;
    child.kill("SIGKILL");
    await exited(child);
  }

  /** Everything it runs. */
  async end(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(exited));
  }

  freeze(): void {
    this.main.kill("SIGSTOP");
  }

  thaw(): void {
    this.main.kill("SIGCONT");
  }

  /** The speaker's process, of all it may run. */
  get main(): ChildProcess {
    const child = this.#children.at(-1);
    if (child === undefined) throw new Error(`${this.name} was not started`);
    return child;
  }

  log(): string {
    return [...this.#logs].map(path => `--- ${path}\n${readFileSync(path, "utf8")}`).join("\n");
  }

  protected spawn(command: string, args: readonly string[]): ChildProcess {
    const path = join(this.folder, `${command.split("/").at(-1)}.log`);
    this.#logs.add(path);
    const log = openSync(path, "a");
    const wrapped = ["--pdeathsig", "KILL", "ip", "netns", "exec", this.namespace, command, ...args];
    const child = spawn("setpriv", wrapped, { stdio: ["ignore", log, log] });
    closeSync(log);
    this.#children.push(child);
    return child;
  }

  /** Asks until it answers; one that has ended will not. */
  protected answering<T>(child: ChildProcess, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
    return until(`${this.name} to answer`, () => {
      if (child.exitCode !== null) throw new Error(`${this.name} has ended:\n${this.log()}`);
      return ask();
    });
  }

  /** Our end of a session of the family of `neighbor`. */
  protected localAddress({ address, localAddress }: DaemonNeighbor): string {
    return localAddress ?? (address.includes(":") ? this.options.address6 : this.options.address);
  }
}

export function familiesOf({ address, families }: DaemonNeighbor): readonly Family[] {
  return families ?? [address.includes(":") ? Family.ipv6Unicast : Family.ipv4Unicast];
}
