/** Two BFD sessions and a link between them under a simulated clock; everything sent and reported is written down. Times in milliseconds. */

import { SessionState, stateName } from "../../bfd/constants.ts";
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from "../../bfd/control-packet.ts";
import type { Session, SessionConfig } from "../../bfd/session.ts";
import { newSession, nextDeadline, type SessionEvent, sessionStep } from "../../bfd/session-fsm.ts";
import { SimClock } from "./sim-clock.ts";

export interface SentPacket {
  readonly at: number;
  readonly packet: ControlPacket;
}

export interface Report {
  readonly at: number;
  readonly state: string;
  readonly previous: string;
  readonly cause: string;
}

export const DEFAULT_CONFIG: SessionConfig = {
  minTx: 300_000,
  minRx: 300_000,
  multiplier: 3,
  adminDown: false,
  pollInterval: 0,
};

export class SimBfd {
  readonly clock: SimClock;
  readonly sent: SentPacket[] = [];
  readonly reports: Report[] = [];
  session: Session;
  /** Does not run: what comes is lost, timers do not fire. */
  isDead = false;
  readonly #random: () => number;
  #transmit: (bytes: Uint8Array) => void = () => {};
  #timer: unknown;

  constructor(clock: SimClock, discriminator: number, config: Partial<SessionConfig>, random: () => number) {
    this.clock = clock;
    this.#random = random;
    this.session = newSession(discriminator, { ...DEFAULT_CONFIG, ...config }, this.#now);
  }

  get state(): string {
    return stateName(this.session.state);
  }

  get isUp(): boolean {
    return this.session.state === SessionState.up;
  }

  connect(transmit: (bytes: Uint8Array) => void): void {
    this.#transmit = transmit;
    this.#arm();
  }

  configure(config: Partial<SessionConfig>): void {
    this.#step({ type: "configure", config: { ...this.session.config, ...config } });
  }

  /** Starts anew, as a process that was killed does, with another discriminator. */
  restart(discriminator: number): void {
    this.isDead = false;
    this.session = newSession(discriminator, this.session.config, this.#now);
    this.#arm();
  }

  receive(bytes: Uint8Array): void {
    if (this.isDead) return;
    const packet = decodeControlPacket(bytes);
    if (typeof packet === "string") throw new Error(`a session has sent a packet without ${packet}`);
    // As the session table finds the session.
    const { localDiscriminator } = this.session;
    if (packet.yourDiscriminator !== 0 && packet.yourDiscriminator !== localDiscriminator) return;
    this.#step({ type: "received", packet });
  }

  get #now(): number {
    return this.clock.now() * 1000;
  }

  #step(event: SessionEvent): void {
    const input = { now: this.#now, random: this.#random() };
    const { session, actions } = sessionStep(this.session, event, input);
    this.session = session;
    for (const action of actions) {
      if (action.do === "send") {
        this.sent.push({ at: this.clock.now(), packet: action.packet });
        this.#transmit(encodeControlPacket(action.packet).slice());
      } else {
        const { cause } = action;
        const previous = stateName(action.previous);
        this.reports.push({ at: this.clock.now(), state: this.state, previous, cause });
      }
    }
    this.#arm();
  }

  #arm(): void {
    this.clock.clearTimeout(this.#timer);
    const deadline = nextDeadline(this.session);
    if (deadline === Number.POSITIVE_INFINITY) return;
    this.#timer = this.clock.setTimeout(
      () => {
        if (!this.isDead) this.#step({ type: "wake" });
      },
      (deadline - this.#now) / 1000,
    );
  }
}

export class SimBfdLink {
  readonly clock = new SimClock();
  readonly a: SimBfd;
  readonly b: SimBfd;
  /** One way. */
  latency = 1;
  /** Loses a packet when it returns true. */
  loses: (from: SimBfd, packet: Uint8Array) => boolean = () => false;
  #seed: number;

  constructor(a: Partial<SessionConfig> = {}, b: Partial<SessionConfig> = {}, seed = 1) {
    this.#seed = seed;
    const random = () => this.random();
    this.a = new SimBfd(this.clock, 0xa, a, random);
    this.b = new SimBfd(this.clock, 0xb, b, random);
    this.a.connect(bytes => this.#carry(this.a, this.b, bytes));
    this.b.connect(bytes => this.#carry(this.b, this.a, bytes));
  }

  random(): number {
    this.#seed = (Math.imul(this.#seed, 1103515245) + 12345) & 0x7fffffff;
    return this.#seed / 0x80000000;
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }

  /** Advances until `done`, at most so long; what it took. */
  advanceUntil(done: () => boolean, limitMs: number): number {
    const start = this.clock.now();
    while (!done()) {
      if (this.clock.now() - start >= limitMs) throw new Error(`not within ${limitMs} ms`);
      this.clock.advance(1);
    }
    return this.clock.now() - start;
  }

  cut(): void {
    this.loses = () => true;
  }

  heal(): void {
    this.loses = () => false;
  }

  #carry(from: SimBfd, to: SimBfd, bytes: Uint8Array): void {
    if (this.loses(from, bytes)) return;
    this.clock.setTimeout(() => to.receive(bytes), this.latency);
  }
}
