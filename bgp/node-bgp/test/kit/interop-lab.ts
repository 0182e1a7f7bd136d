/**
 * A daemon of somebody else's at one end of a cable and our speakers, as objects in this process, at the other. `withEachDaemon` writes a suite once and runs it for
 * every daemon; where one cannot run, it is skipped with the reason.
 *
 * Speakers and daemons of a test end with the test, those of a `before` with the suite. When a test fails the daemons' logs and what our speakers reported are printed.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  acceptAll,
  type Family,
  formatAsPath,
  type NeighborEvent,
  type NeighborOptions,
  type NeighborState,
  type Route,
  Speaker,
  type SpeakerOptions,
} from "../../index.ts";
import { Bird } from "./daemons/bird.ts";
import type { Daemon, DaemonName, DaemonOptions, LearnedRoute } from "./daemons/daemon.ts";
import { Frr } from "./daemons/frr.ts";
import { Gobgp } from "./daemons/gobgp.ts";
import { Cable, until } from "./namespaces.ts";
import { enterNamespace } from "./network-namespace.ts";

const DAEMONS = {
  bird: { make: Bird, probe: ["bird", "--version"] },
  frr: { make: Frr, probe: ["/usr/lib/frr/bgpd", "--version"] },
  gobgp: { make: Gobgp, probe: ["gobgpd", "--version"] },
} as const;

const LOG_LINES = 80;
const POLL_MS = 50;

/** Where the daemon is. */
export const THEIRS = "10.99.0.2";
export const THEIRS6 = "fd99::2";
export const THEIR_AS = 64512;

/** Addresses of ours, for as many speakers as a test needs: `ours(1)` is 10.99.0.1, `ours(2)` 10.99.0.12 and so on. */
export function ours(speaker = 1): string {
  return `10.99.0.${last(speaker)}`;
}

export function ours6(speaker = 1): string {
  return `fd99::${last(speaker)}`;
}

/** At most 240 speakers. */
function last(speaker: number): number {
  return speaker === 1 ? 1 : 10 + speaker;
}

/** One of our speakers, with what it has reported. */
export class LabSpeaker {
  readonly speaker: Speaker;
  readonly events: NeighborEvent[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(options: SpeakerOptions) {
    this.speaker = new Speaker(options);
    this.speaker.onNeighbor(event => {
      this.events.push(event);
      this.#wake();
    });
    this.speaker.onRoutes(() => this.#wake());
  }

  /** Asks again whenever something happens here, and now and then, as not everything is an event. */
  until<T>(what: string, ask: () => T | undefined, seconds = 10): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = () => {
        this.#waiting.delete(check);
        clearTimeout(timer);
        clearInterval(ticker);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`${what}: not within ${seconds} s; ${this.report()}`));
      }, seconds * 1000);
      const check = () => {
        const answer = ask();
        if (answer === undefined) return;
        stop();
        resolve(answer);
      };
      const ticker = setInterval(check, POLL_MS);
      this.#waiting.add(check);
      check();
    });
  }

  untilState(neighbor: string, state: NeighborState, seconds?: number): Promise<true> {
    return this.until(
      `${neighbor} ${state}`,
      () => this.speaker.neighbor(neighbor)?.state === state || undefined,
      seconds,
    );
  }

  /** The error that ended a session or an attempt, the newest first. */
  untilError(text: RegExp, seconds?: number): Promise<string> {
    return this.until(
      `an error like ${text}`,
      () => this.events.findLast(({ error }) => error !== undefined && text.test(error.text))?.error?.text,
      seconds,
    );
  }

  /** Every path from a neighbor, in the words daemons share. */
  received(neighbor: string, family?: Family): LearnedRoute[] {
    return Array.from(this.speaker.routes(family))
      .flatMap(({ prefix }) => this.speaker.paths(prefix))
      .filter(({ source }) => source === neighbor)
      .map(learnedRoute);
  }

  untilRoute(prefix: string, seconds?: number): Promise<LearnedRoute> {
    return this.until(
      prefix,
      () => {
        const best = this.speaker.route(prefix);
        return best && learnedRoute(best);
      },
      seconds,
    );
  }

  untilGone(prefix: string, seconds?: number): Promise<true> {
    return this.until(`${prefix} gone`, () => this.speaker.paths(prefix).length === 0 || undefined, seconds);
  }

  report(): string {
    return this.events
      .map(({ address, state, error }) => `${address} ${state}${error ? ` (${error.text})` : ""}`)
      .join(", ");
  }

  #wake(): void {
    for (const check of [...this.#waiting]) check();
  }
}

export class InteropLab {
  readonly name: DaemonName;
  #cable: Cable | undefined;
  #leave: (() => void) | undefined;
  #daemons: Daemon[] = [];
  #speakers: LabSpeaker[] = [];
  #kept: { kill(): Promise<void> }[] = [];
  readonly #addresses = new Set([1]);

  constructor(name: DaemonName) {
    this.name = name;
  }

  get isOpen(): boolean {
    return this.#cable !== undefined;
  }

  get cable(): Cable {
    return this.#cable!;
  }

  open(): void {
    this.#cable = new Cable();
    this.#leave = enterNamespace(this.#cable.left);
  }

  async close(): Promise<void> {
    try {
      await this.endSince({ daemons: 0, speakers: 0 });
    } finally {
      this.#leave?.();
      this.#cable?.remove();
    }
  }

  /** A running daemon at {@link THEIRS}, of AS {@link THEIR_AS}. */
  async daemon(options: Partial<DaemonOptions> & Pick<DaemonOptions, "neighbors">): Promise<Daemon> {
    const { make: Make } = DAEMONS[this.name];
    const daemon = new Make(this.cable.right, this.cable.folder, {
      asn: THEIR_AS,
      routerId: THEIRS,
      address: THEIRS,
      address6: THEIRS6,
      ...options,
    });
    this.#daemons.push(daemon);
    await daemon.start();
    return daemon;
  }

  /** A running speaker of ours with these neighbors. Without `listen` it listens at `ours()` and its router id is that. */
  async speaker(
    options: Partial<SpeakerOptions> & { readonly asn: number; readonly at?: number },
    ...neighbors: readonly NeighborOptions[]
  ): Promise<LabSpeaker> {
    const { at = 1, ...rest } = options;
    const us = new LabSpeaker({ routerId: ours(at), listen: { addresses: [ours(at), ours6(at)] }, ...rest });
    this.#speakers.push(us);
    if (!this.#addresses.has(at)) this.cable.addAddresses(ours(at), ours6(at));
    this.#addresses.add(at);
    for (const neighbor of neighbors) us.speaker.addNeighbor(this.neighbor(neighbor, at));
    await us.speaker.start();
    return us;
  }

  /** A neighbor with what tests want by default: quick retries, all routes both ways, our end at `ours(at)`. */
  neighbor(options: NeighborOptions, at = 1): NeighborOptions {
    const isIpv6 = options.address.includes(":");
    return {
      ...(options.address.includes("%") ? {} : { localAddress: isIpv6 ? ours6(at) : ours(at) }),
      nextHopSelf: { ipv4: ours(at), ipv6: ours6(at) },
      connectRetryTime: 1,
      importPolicy: acceptAll,
      exportPolicy: acceptAll,
      ...options,
    };
  }

  /** Waits for both sides to say so, and that they mean each other. */
  async established(
    us: LabSpeaker,
    daemon: Daemon,
    { theirs = THEIRS, ours: our = ours(), seconds = 15 } = {},
  ): Promise<void> {
    await us.untilState(theirs, "Established", seconds);
    const session = await until("Established on their side", async () => {
      const answer = await daemon.session(our);
      return answer.isEstablished ? answer : undefined;
    });
    assert.equal(us.speaker.neighbor(theirs)?.remoteRouterId, daemon.options.routerId);
    assert.ok(
      this.#speakers.some(({ speaker }) => speaker === us.speaker),
      "one of this lab's",
    );
    assert.notEqual(session.remoteRouterId, undefined);
  }

  /** A process of ours that ends with the test. */
  keep<T extends { kill(): Promise<void> }>(process: T): T {
    this.#kept.push(process);
    return process;
  }

  mark(): { daemons: number; speakers: number } {
    return { daemons: this.#daemons.length, speakers: this.#speakers.length };
  }

  async endSince(mark: { daemons: number; speakers: number }): Promise<void> {
    for (const { speaker } of this.#speakers.splice(mark.speakers)) await speaker.stop();
    for (const process of this.#kept.splice(0)) await process.kill();
    for (const daemon of this.#daemons.splice(mark.daemons)) await daemon.end();
  }

  report(): string {
    const logs = this.#daemons.map(daemon => daemon.log().split("\n").slice(-LOG_LINES).join("\n"));
    return [...logs, ...this.#speakers.map((us, i) => `--- our speaker ${i}: ${us.report()}`)].join("\n");
  }
}

/** Runs a suite against each daemon. `only`: those that have what it is about. */
export function withEachDaemon(
  title: string,
  define: (lab: InteropLab) => void,
  only: readonly DaemonName[] = ["bird", "frr", "gobgp"],
): void {
  for (const name of only) {
    describe(`${title} (${name})`, function () {
      this.timeout(60_000);
      const lab = new InteropLab(name);
      let mark = { daemons: 0, speakers: 0 };

      before(function () {
        const missing = whatIsMissing(name);
        if (missing === undefined) return lab.open();
        process.stdout.write(`    skipped: needs ${missing}\n`);
        this.skip();
      });
      beforeEach(() => {
        mark = lab.mark();
      });
      afterEach(async function () {
        if (this.currentTest?.state === "failed") process.stdout.write(`${lab.report()}\n`);
        await lab.endSince(mark);
      });
      after(() => lab.close());

      define(lab);
    });
  }
}

/** For comparing sets of routes: by prefix and next hop. */
export function sorted(routes: readonly LearnedRoute[]): LearnedRoute[] {
  const key = ({ prefix, nextHop }: LearnedRoute) => `${prefix} ${nextHop}`;
  return [...routes].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function learnedRoute(route: Route): LearnedRoute {
  return {
    prefix: route.prefix,
    nextHop: route.nextHop ?? "",
    linkLocalNextHop: route.linkLocalNextHop,
    asPath: formatAsPath(route.asPath),
    origin: route.origin,
    med: route.med,
    localPref: route.localPref,
    communities: [...(route.communities ?? [])].sort(),
    largeCommunities: [...(route.largeCommunities ?? [])].sort(),
    routeTargets: (route.extendedCommunities ?? []).flatMap(routeTarget).sort(),
    originatorId: route.originatorId,
    clusterList: route.clusterList ?? [],
    stale: route.stale,
    from: route.source,
  };
}

/** RFC 4360: type 0 (2-octet AS), subtype 2. */
export function routeTarget(hex: string): string[] {
  if (!hex.startsWith("0002")) return [];
  return [`${Number.parseInt(hex.slice(4, 8), 16)}:${Number.parseInt(hex.slice(8), 16)}`];
}

function whatIsMissing(name: DaemonName): string | undefined {
  if (process.getuid?.() !== 0) return "root";
  const [command, ...args] = DAEMONS[name].probe;
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return undefined;
  } catch {
    return name;
  }
}
