/** BGP daemons with kernels of their own, in one simulated network, on one datastore in memory, in simulated time. */

import { Speaker, type SpeakerOptions } from "node-bgp";
import { pino } from "pino";
import { BgpDaemon, type BgpDaemonOptions } from "../../../bgp/daemon.ts";
import { Kernel } from "../../../bgp/kernel.ts";
import { SimClock } from "../../../bgp/node-bgp/test/kit/sim-clock.ts";
import { SimNetwork } from "../../../bgp/node-bgp/test/kit/sim-network.ts";
import { filePasswords } from "../../../bgp/passwords.ts";
import type { Clock } from "../../../daemon/clock.ts";
import type { Value } from "../../../datastore/datastore.ts";
import { type Kind, key } from "../../../datastore/key.ts";
import { memoryDatastore } from "../../../datastore/memory.ts";
import { FakeKernel } from "./fake-kernel.ts";
import { node } from "./resources.ts";

const running: Host[] = [];
afterEach(async () => {
  for (const host of running.splice(0)) await host.stop();
});

export interface DaemonStatus {
  readonly inSync: boolean;
  readonly connected: boolean;
  readonly identity: { asn: number; port: number } | null;
  readonly announced: string[];
  readonly problems: string[];
  readonly neighbors: { name: string; state: string; address: string; since: number }[];
}

/** A machine: its kernel stays when its daemon goes. */
export class Host {
  readonly name: string;
  readonly address: string;
  readonly kernel = new FakeKernel();
  /** Of every speaker the daemon has made. */
  readonly speakers: SpeakerOptions[] = [];
  /** Passwords of the listener, by neighbor. */
  readonly passwords = new Map<string, string>();
  /** `10.0.0.1:179`, `any:179`. */
  readonly listening: string[] = [];
  /** Thrown by listen(). */
  listenError: Error | undefined;
  #speaker: Speaker | undefined;
  readonly #lab: DaemonLab;
  #daemon: BgpDaemon | undefined;
  #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(lab: DaemonLab, name: string, address: string) {
    this.#lab = lab;
    this.name = name;
    this.address = address;
    this.kernel.addLink(2, "eth0");
    this.kernel.addAddress(2, `${address}/24`);
  }

  start(options: Partial<BgpDaemonOptions> = {}): void {
    const { clock, datastore, sim } = this.#lab;
    const logger = pino({ level: "silent" });
    const { rtnetlink, subscribe } = this.kernel;
    const daemon = new BgpDaemon({
      datastore,
      nodeName: this.name,
      logger,
      clock,
      kernel: new Kernel({ interfacePrefixes: ["cali"], logger, clock, rtnetlink, subscribe }),
      passwords: filePasswords("/nonexistent"),
      createSpeaker: speakerOptions => {
        this.speakers.push(speakerOptions);
        this.#speaker = new Speaker({
          ...speakerOptions,
          clock: sim,
          random: () => 0.5,
          transport: this.#transport(),
        });
        return this.#speaker;
      },
      ...options,
    });
    this.#daemon = daemon;
    this.#stop = new AbortController();
    this.#done = daemon.run(this.#stop.signal);
  }

  /** The next call of this method of its speaker throws. */
  failOnce(method: "refreshExports"): void {
    const speaker = this.#speaker!;
    const original = speaker[method].bind(speaker);
    speaker[method] = () => {
      speaker[method] = original;
      throw new Error(`${method} failed`);
    };
  }

  /** Its cables are cut, or put back. */
  network(what: "cut" | "heal"): void {
    const { network } = this.#lab;
    if (what === "heal") network.heal();
    else for (const other of this.#lab.hosts) if (other !== this) network.cut(this.address, other.address);
  }

  /** As SIGTERM does. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
    this.#daemon = undefined;
  }

  get status(): DaemonStatus {
    return this.#daemon?.status() as DaemonStatus;
  }

  get notReady(): string | undefined {
    return this.#daemon?.notReady();
  }

  /** By name. */
  get neighborStates(): Record<string, string> {
    return Object.fromEntries(this.status.neighbors.map(({ name, state }) => [name, state]));
  }

  #transport() {
    const { listen, ...transport } = this.#lab.network.host(this.address);
    return {
      ...transport,
      listen: async (...args: Parameters<typeof listen>) => {
        if (this.listenError) throw this.listenError;
        const listener = await listen(...args);
        const [{ address = "any", port }] = args;
        const where = `${address}:${port}`;
        this.listening.push(where);
        const close = async () => {
          this.listening.splice(this.listening.indexOf(where), 1);
          await listener.close();
        };
        const setPassword = (address: string, password: string | undefined) => {
          if (password === undefined) this.passwords.delete(address);
          else this.passwords.set(address, password);
        };
        return { ...listener, close, setPassword };
      },
    };
  }
}

export class DaemonLab {
  readonly sim = new SimClock();
  readonly network = new SimNetwork(this.sim);
  readonly hosts: Host[] = [];
  readonly clock: Clock = {
    now: () => this.sim.now(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const timer = this.sim.setTimeout(resolve, ms);
        const onAbort = () => {
          this.sim.clearTimeout(timer);
          reject(signal?.reason);
        };
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
  };
  readonly datastore = memoryDatastore({ clock: this.clock } as never);

  /** A host whose Node record is there already. */
  async host(name: string, address: string, bgp: Parameters<typeof node>[1] = {}): Promise<Host> {
    await this.put("Node", name, node(name, { ipv4Address: `${address}/24`, ...bgp }));
    return this.machine(name, address);
  }

  /** One without. */
  machine(name: string, address: string): Host {
    const host = new Host(this, name, address);
    running.push(host);
    this.hosts.push(host);
    return host;
  }

  async put(kind: Kind, name: string, value: Value, namespace?: string): Promise<void> {
    const k = key(kind, name, namespace);
    const before = await this.datastore.get(k).catch(() => undefined);
    if (before) await this.datastore.update(k, value, before.revision);
    else await this.datastore.create(k, value);
  }

  async delete(kind: Kind, name: string, namespace?: string): Promise<void> {
    await this.datastore.delete(key(kind, name, namespace));
  }

  block(host: Host, cidr: string, state = "confirmed"): Promise<void> {
    return this.put("BlockAffinity", cidr, { state, deleted: false }, `host:${host.name}`);
  }

  /** Lets so many seconds pass, with everything that happens in them. */
  async pass(seconds: number): Promise<void> {
    const STEP_MS = 50;
    for (let passed = 0; passed < seconds * 1000; passed += STEP_MS) {
      this.sim.advance(STEP_MS);
      for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve));
    }
    this.sim.settle();
  }
}
