/**
 * Many flows at once, each tried with packets of its own, and what became of them.
 *
 * That a packet passed is proved by it; that it was denied is only ever a silence. So silence counts when the flow was
 * tried several times, and when everything that was expected to pass, and was sent no earlier, has passed: then the
 * machine was not just slow. Whoever expects wrongly pays with patience, not with a wrong answer: what should pass
 * is tried again for seconds.
 */

import { PROTOCOL_NUMBERS, protocolNumber } from "../../crd-schemas/index.ts";
import { ipVersion } from "../../net/ip.ts";
import { type Attempt, type Sign, SourcePorts, startAttempt } from "./attempts.ts";
import { ECHO_REPLIES, evidenceOf, type Flow, type Observation } from "./flow.ts";
import { Listeners } from "./listeners.ts";
import { tokenOf } from "./payload.ts";
import { RawSockets } from "./raw-sockets.ts";

/** When a flow that should pass is tried, and how long it may take, milliseconds. */
const ALLOW_TRIES: readonly number[] = [0, 150, 500, 1200, 2500];
const ALLOW_PATIENCE = 4000;
/** When one that should not is tried; how long the silence must last, from the beginning and after all others are through. */
const DENY_TRIES: readonly number[] = [0, 50, 120];
const SILENCE = 250;
const SILENCE_AFTER_OTHERS = 80;

/** Where its packets are seen. */
interface Watched {
  readonly flow: Flow;
  readonly noted: (sign: Sign) => void;
}

export class Prober {
  readonly #tokens = new Map<number, Watched>();
  readonly #listeners = new Listeners(token => this.#tokens.get(token)?.noted("arrival"));
  readonly #raw = new RawSockets((packet, namespace) => this.#heard(packet, namespace));
  readonly #ports = new SourcePorts();
  #nextToken = (process.pid << 16) >>> 0;

  /** @throws where a port cannot be had or a packet cannot be sent at all */
  async probe(flows: readonly Flow[]): Promise<Observation[]> {
    for (const flow of flows) await this.#prepare(flow);
    this.#raw.listen();
    const begun = performance.now();
    const trials = flows.map(flow => new Trial(flow, watched => this.#start(watched)));
    try {
      const allowed = trials.filter(({ flow }) => flow.expect === "allow");
      await Promise.all(allowed.map(trial => trial.passed(ALLOW_TRIES, ALLOW_PATIENCE)));
      const left = Math.max(SILENCE - (performance.now() - begun), SILENCE_AFTER_OTHERS);
      if (allowed.length < trials.length) await sleep(left);
      return trials.map(trial => trial.observation());
    } finally {
      for (const trial of trials) trial.stop();
      this.#tokens.clear();
      this.#raw.rest();
    }
  }

  /** The namespace is about to go. */
  async forget(namespace: string): Promise<void> {
    await this.#listeners.forget(namespace);
  }

  async close(): Promise<void> {
    await this.#listeners.close();
    this.#raw.close();
  }

  /** Whoever is to receive it must be ready. */
  async #prepare({ to, address, protocol, port, servedPort }: Flow): Promise<void> {
    const number = protocolNumber(protocol);
    const transport =
      number === PROTOCOL_NUMBERS.TCP ? "TCP" : number === PROTOCOL_NUMBERS.UDP ? "UDP" : undefined;
    if (!transport) return;
    const own = to.addresses.includes(address)
      ? address
      : to.addresses.find(other => ipVersion(other) === ipVersion(address));
    if (own === undefined) throw new Error(`${to.name} has no address of the version of ${address}`);
    await this.#listeners.open(transport, to.namespace, own, servedPort ?? (port as number));
  }

  #start(watched: Watched): Attempt {
    const token = this.#nextToken++ >>> 0;
    this.#tokens.set(token, watched);
    return startAttempt(watched.flow, { token, raw: this.#raw, ports: this.#ports, noted: watched.noted });
  }

  #heard(packet: Uint8Array, namespace: string): void {
    const token = tokenOf(packet);
    const watched = token === undefined ? undefined : this.#tokens.get(token);
    if (!watched) return;
    const { flow, noted } = watched;
    const number = protocolNumber(flow.protocol);
    const isIcmp = number === PROTOCOL_NUMBERS.ICMP || number === PROTOCOL_NUMBERS.ICMPv6;
    const isReply = isIcmp && ECHO_REPLIES.includes(packet[0] as number);
    if (isReply && namespace === flow.from.namespace) noted("answer");
    else if (namespace === flow.to.namespace) noted("arrival");
  }
}

/** A flow, being tried. */
class Trial {
  readonly flow: Flow;
  readonly #start: (watched: Watched) => Attempt;
  readonly #attempts: Attempt[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #passed = Promise.withResolvers<void>();
  #signs = new Set<Sign>();

  constructor(flow: Flow, start: (watched: Watched) => Attempt) {
    this.flow = flow;
    this.#start = start;
    if (flow.expect === "deny") this.#tryAt(DENY_TRIES);
  }

  /** Resolves when it has passed, or never will. */
  async passed(tries: readonly number[], patience: number): Promise<void> {
    this.#tryAt(tries);
    this.#timers.push(setTimeout(() => this.#passed.resolve(), patience));
    await this.#passed.promise;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  observation(): Observation {
    const verdict = this.#signs.has(evidenceOf(this.flow)) ? "allow" : "deny";
    return { flow: this.flow, verdict, rejected: verdict === "deny" && this.#signs.has("rejection") };
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const attempt of this.#attempts) attempt.stop();
  }

  /** A flow that says itself by which port it goes can only be tried once. */
  #tryAt(times: readonly number[]): void {
    for (const ms of this.flow.sourcePort === undefined ? times : [0]) {
      if (ms === 0) this.#try();
      else this.#timers.push(setTimeout(() => this.#try(), ms));
    }
  }

  #try(): void {
    const noted = (sign: Sign) => {
      this.#signs.add(sign);
      if (sign === evidenceOf(this.flow)) this.#passed.resolve();
    };
    this.#attempts.push(this.#start({ flow: this.flow, noted }));
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
