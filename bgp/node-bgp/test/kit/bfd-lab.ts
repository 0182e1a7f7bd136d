/** Our BFD, in this process and its worker, at the left end of a cable; what it reports, and what happens to the cable. */

import { execFileSync } from "node:child_process";
import { Bfd, type BfdEvent, type BfdOptions, type BfdSession, type BfdSessionOptions } from "../../index.ts";
import { BFD_PEERS, type BfdPeer } from "./bfd-peers.ts";
import { Cable, until } from "./namespaces.ts";
import { enterNamespace } from "./network-namespace.ts";

export interface HeardEvent extends BfdEvent {
  /** When the main thread heard of it; milliseconds since the epoch. */
  readonly heardAt: number;
}

/** A session and what it has reported. */
export class WatchedSession {
  readonly session: BfdSession;
  readonly events: HeardEvent[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(bfd: Bfd, options: BfdSessionOptions) {
    this.session = bfd.addSession(options, event => {
      this.events.push({ ...event, heardAt: Date.now() });
      for (const check of [...this.#waiting]) check();
    });
  }

  get state(): string {
    return this.session.status().state;
  }

  /** The first event from the `after`-th on that fits. */
  heard(what: string, fits: (event: HeardEvent) => boolean, after = 0, seconds = 10): Promise<HeardEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<HeardEvent>();
    const events = () => this.events.map(({ state, cause }) => `${state} (${cause})`).join(", ");
    const timer = setTimeout(
      () => reject(new Error(`${what}: not within ${seconds} s; ${events()}`)),
      seconds * 1000,
    );
    const check = () => {
      const event = this.events.slice(after).find(fits);
      if (event !== undefined) resolve(event);
    };
    this.#waiting.add(check);
    check();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(check);
    });
  }

  up(after = 0): Promise<HeardEvent> {
    return this.heard("Up", ({ state }) => state === "Up", after);
  }

  down(after = 0): Promise<HeardEvent> {
    return this.heard("Down after Up", ({ state, previous }) => state === "Down" && previous === "Up", after);
  }

  /** It has come up once, and stayed. */
  get hasNotFlapped(): boolean {
    return this.state === "Up" && this.events.every(({ previous }) => previous !== "Up");
  }
}

export class BfdLab {
  readonly cable = new Cable();
  readonly peer: BfdPeer;
  readonly #leave: () => void;
  readonly #opened: Bfd[] = [];

  constructor(name: keyof typeof BFD_PEERS) {
    const { make: Make } = BFD_PEERS[name];
    this.peer = new Make(this.cable);
    this.#leave = enterNamespace(this.cable.left);
  }

  bfd(options?: BfdOptions): Bfd {
    const bfd = new Bfd(options);
    this.#opened.push(bfd);
    return bfd;
  }

  cut(): void {
    this.ip(this.cable.right, "link", "set", "eth0", "down");
  }

  /** Addresses that went with the link come back with it. */
  mend(): void {
    this.ip(this.cable.right, "link", "set", "eth0", "up");
    this.ip(this.cable.right, "addr", "replace", "fd99::2/64", "dev", "eth0", "nodad");
  }

  /** `fe80::1%eth0`, once it may be used. */
  linkLocal(end: "left" | "right"): Promise<string> {
    return until(`a link-local address ${end}`, () => {
      const text = this.ip(this.cable[end], "-6", "-json", "addr", "show", "dev", "eth0", "scope", "link");
      const links: { addr_info?: { local?: string; tentative?: boolean }[] }[] = JSON.parse(text);
      const addresses = links.flatMap(({ addr_info = [] }) => addr_info);
      const usable = addresses.find(({ local, tentative }) => local !== undefined && !tentative);
      return usable && `${usable.local}%eth0`;
    });
  }

  ip(namespace: string, ...args: string[]): string {
    return execFileSync("ip", ["-n", namespace, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** What of this test runs. */
  async end(): Promise<void> {
    for (const bfd of this.#opened.splice(0)) await bfd.close();
    await this.peer.kill();
    this.mend();
  }

  async close(): Promise<void> {
    try {
      await this.end();
    } finally {
      this.#leave();
      this.cable.remove();
    }
  }
}

/** To run tests with that peer. */
export function whatIsMissing(name: keyof typeof BFD_PEERS): string | undefined {
  if (process.getuid?.() !== 0) return "root";
  const [command, ...args] = BFD_PEERS[name].probe;
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return undefined;
  } catch {
    return name;
  }
}
