/**
 * All sessions of one thread: finds the session of a packet (RFC 5880 6.3, 6.8.6; RFC 5881 3 to 5; RFC 5883 3, 4), steps it, sends what it
 * wants sent, reports what has changed. Clock, random and sockets are handed in.
 */

import { MAX_TTL, SessionState } from "./constants.ts";
import {
  CONTROL_PACKET_LENGTH,
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
} from "./control-packet.ts";
import { DeadlineHeap, type HeapMember } from "./deadline-heap.ts";
import type { Remote, Session, SessionConfig } from "./session.ts";
import { newSession, nextDeadline, resumedSession, type SessionEvent, sessionStep } from "./session-fsm.ts";
import { detectionTime, neighborDetectionTime } from "./session-timers.ts";
import {
  type Command,
  DISCARD_REASONS,
  type DiscardReason,
  isSamePath,
  NEVER,
  type Notice,
  type SessionPath,
  SessionWord,
  ThreadWord,
} from "./worker-protocol.ts";

/** Where a packet came from. Addresses are text in canonical form, made only when asked for. */
export interface Arrival {
  readonly multihop: boolean;
  readonly ttl: number;
  readonly interfaceIndex: number;
  source(): string;
  destination(): string;
}

/** A session's way out. */
export interface Sender {
  /** Undefined: any. As the kernel numbers it now; 0 while there is no such interface. */
  readonly interfaceIndex: number | undefined;
  /** Undefined, or what is wrong. Never throws. */
  send(bytes: Uint8Array): string | undefined;
  close(): void;
}

export interface SessionTableEnvironment {
  /** Microseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Any number from 1 to 2^32 - 1, unpredictable. */
  readonly discriminator: () => number;
  /** Keeps {@link SessionWord.descriptor} of `words`. */
  readonly openSender: (path: SessionPath, words: Uint32Array) => Sender;
  readonly tell: (notice: Notice) => void;
  readonly shared: Uint32Array;
}

interface Entry extends HeapMember {
  readonly id: number;
  readonly path: SessionPath;
  readonly sender: Sender;
  readonly words: Uint32Array;
  session: Session;
  trouble: string | undefined;
  heardAt: number;
  /** Removed by its owner, and kept until then to tell the neighbor. */
  removeAt: number;
}

const NEVER_AT = Number.POSITIVE_INFINITY;

export class SessionTable {
  readonly #env: SessionTableEnvironment;
  readonly #byId = new Map<number, Entry>();
  readonly #byDiscriminator = new Map<number, Entry>();
  /** Those of one address: more than one only with different interfaces or local addresses. */
  readonly #byAddress = new Map<string, Entry[]>();
  readonly #heap = new DeadlineHeap<Entry>();
  readonly #bytes = new Uint8Array(CONTROL_PACKET_LENGTH);

  constructor(env: SessionTableEnvironment) {
    this.#env = env;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** When {@link wake} has to be called, or earlier; Infinity: never. */
  get deadline(): number {
    return this.#heap.first?.deadline ?? NEVER_AT;
  }

  /** `wants` says which sockets sessions need. */
  wants(multihop: boolean, isIpv6: boolean): boolean {
    for (const { path } of this.#byId.values()) {
      if (path.multihop === multihop && path.address.includes(":") === isIpv6) return true;
    }
    return false;
  }

  do(command: Exclude<Command, { do: "close" }>): void {
    if (command.do === "add") {
      this.#add(command.id, command.path, command.config, new Uint32Array(command.shared));
      return;
    }
    const entry = this.#byId.get(command.id);
    if (entry === undefined) return;
    if (command.do === "configure") this.#step(entry, { type: "configure", config: command.config });
    else this.#retire(entry);
  }

  /** Tells all neighbors that we go, once. */
  close(): void {
    for (const entry of this.#byId.values()) {
      const config = { ...entry.session.config, adminDown: true };
      this.#step(entry, { type: "configure", config });
      entry.sender.close();
    }
  }

  /** Does what is due. */
  wake(): void {
    for (;;) {
      const entry = this.#heap.first;
      const now = this.#env.now();
      if (entry === undefined || entry.deadline > now) return;
      if (now >= entry.removeAt) {
        this.#remove(entry);
        continue;
      }
      const { state, transmitAt } = entry.session;
      if (state === SessionState.up && now >= transmitAt) {
        raise(entry.words, SessionWord.longestDelay, now - transmitAt);
      }
      this.#step(entry, { type: "wake" });
    }
  }

  receive(bytes: Uint8Array, arrival: Arrival): void {
    // RFC 5881 5: who is not on the link cannot have sent it. First of all, so that a flood from afar costs least.
    if (!arrival.multihop && arrival.ttl !== MAX_TTL) {
      this.#discard("ttl");
      return;
    }
    const packet = decodeControlPacket(bytes);
    if (typeof packet === "string") {
      this.#discard(packet);
      return;
    }
    const entry = this.#find(packet, arrival);
    if (typeof entry === "string") {
      this.#discard(entry);
      return;
    }
    const { words, session } = entry;
    const now = this.#env.now();
    count(words, SessionWord.received);
    if (session.state === SessionState.up) raise(words, SessionWord.longestGap, now - entry.heardAt);
    entry.heardAt = now;
    this.#step(entry, { type: "received", packet });
  }

  /** The session a packet is for, or why there is none. */
  #find(packet: ControlPacket, arrival: Arrival): Entry | DiscardReason {
    const entry =
      packet.yourDiscriminator === 0
        ? this.#findByAddress(arrival)
        : this.#byDiscriminator.get(packet.yourDiscriminator);
    if (entry === undefined || !isOnItsWay(entry, arrival)) return "no-session";
    // RFC 5883 leaves the distance to the operator.
    if (arrival.ttl < entry.path.minimumTtl) return "ttl";
    // 6.8.6: no session of ours uses authentication.
    if (packet.authenticated) return "authentication";
    return entry;
  }

  #findByAddress(arrival: Arrival): Entry | undefined {
    const entries = this.#byAddress.get(arrival.source());
    return entries?.find(
      entry =>
        isOnItsWay(entry, arrival) &&
        (entry.path.localAddress === undefined || entry.path.localAddress === arrival.destination()),
    );
  }

  #discard(reason: DiscardReason): void {
    count(this.#env.shared, ThreadWord.discards + DISCARD_REASONS.indexOf(reason));
  }

  #add(id: number, path: SessionPath, config: SessionConfig, words: Uint32Array): void {
    // What is left of an earlier one of the same path would be taken for this one.
    for (const entry of this.#byAddress.get(path.address) ?? []) {
      if (entry.removeAt < NEVER_AT && isSamePath(entry.path, path)) this.#remove(entry);
    }
    const now = this.#env.now();
    const entry: Entry = {
      id,
      path,
      sender: this.#env.openSender(path, words),
      words,
      session: this.#firstSession(config, words, now),
      trouble: undefined,
      heardAt: now,
      removeAt: NEVER_AT,
      deadline: now,
      heapIndex: -1,
    };
    this.#byId.set(id, entry);
    this.#byDiscriminator.set(entry.session.localDiscriminator, entry);
    const sameAddress = this.#byAddress.get(path.address);
    if (sameAddress === undefined) this.#byAddress.set(path.address, [entry]);
    else sameAddress.push(entry);
    this.#publish(entry);
    this.#heap.place(entry);
  }

  /** Down; or Up, where the shared memory says that it was when the thread before this one died. */
  #firstSession(config: SessionConfig, words: Uint32Array, now: number): Session {
    const wasUp = words[SessionWord.state] === SessionState.up && words[SessionWord.localDiscriminator] !== 0;
    if (!wasUp || config.adminDown) return newSession(this.#freeDiscriminator(), config, now);
    return resumedSession(words[SessionWord.localDiscriminator]!, config, remoteIn(words), now);
  }

  #freeDiscriminator(): number {
    for (;;) {
      const discriminator = this.#env.discriminator();
      if (discriminator !== 0 && !this.#byDiscriminator.has(discriminator)) return discriminator;
    }
  }

  #retire(entry: Entry): void {
    // A neighbor that never heard of us needs no farewell.
    if (entry.session.remote.discriminator === 0) {
      this.#remove(entry);
      return;
    }
    this.#step(entry, { type: "configure", config: { ...entry.session.config, adminDown: true } });
    // 6.8.16: for a detection time, as the neighbor reckons it with the slow timers that it has just been told.
    entry.removeAt = this.#env.now() + neighborDetectionTime(entry.session);
    entry.deadline = Math.min(entry.deadline, entry.removeAt);
    this.#heap.place(entry);
  }

  #remove(entry: Entry): void {
    this.#heap.remove(entry);
    entry.sender.close();
    this.#env.tell({ tell: "removed", id: entry.id });
    this.#byId.delete(entry.id);
    this.#byDiscriminator.delete(entry.session.localDiscriminator);
    const { address } = entry.path;
    const others = this.#byAddress.get(address)!.filter(other => other !== entry);
    if (others.length === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, others);
  }

  #step(entry: Entry, event: SessionEvent): void {
    const { now, random } = this.#env;
    const { session, actions } = sessionStep(entry.session, event, { now: now(), random: random() });
    entry.session = session;
    this.#publish(entry);
    for (const action of actions) {
      if (action.do === "send") {
        this.#send(entry, action.packet);
        continue;
      }
      if (session.state === SessionState.up) count(entry.words, SessionWord.ups);
      this.#env.tell({
        tell: "state",
        id: entry.id,
        state: session.state,
        previous: action.previous,
        cause: action.cause,
        diagnostic: session.diagnostic,
        remoteDiagnostic: session.remote.diagnostic,
        at: this.#env.wallClock(),
      });
    }
    entry.deadline = Math.min(nextDeadline(session), entry.removeAt);
    this.#heap.place(entry);
  }

  #send(entry: Entry, packet: ControlPacket): void {
    const trouble = entry.sender.send(encodeControlPacket(packet, this.#bytes));
    count(entry.words, trouble === undefined ? SessionWord.sent : SessionWord.sendErrors);
    if (trouble === entry.trouble) return;
    entry.trouble = trouble;
    this.#env.tell({ tell: "trouble", id: entry.id, text: trouble });
  }

  #publish({ words, session }: Entry): void {
    const { remote } = session;
    put(words, SessionWord.state, session.state);
    put(words, SessionWord.diagnostic, session.diagnostic);
    put(words, SessionWord.localDiscriminator, session.localDiscriminator);
    put(words, SessionWord.remoteDiscriminator, remote.discriminator);
    put(words, SessionWord.remoteState, remote.state);
    put(words, SessionWord.remoteDiagnostic, remote.diagnostic);
    put(words, SessionWord.remoteDesiredMinTx, remote.desiredMinTx);
    put(words, SessionWord.remoteMinRx, remote.minRx);
    put(words, SessionWord.remoteMultiplier, remote.multiplier);
    put(words, SessionWord.remoteFlags, (remote.demand ? 1 : 0) | (remote.controlPlaneIndependent ? 2 : 0));
    put(words, SessionWord.interval, session.interval);
    put(words, SessionWord.detectionTime, detectionTime(session));
    put(words, SessionWord.roundTrip, session.roundTrip);
    put(words, SessionWord.smoothedRoundTrip, session.smoothedRoundTrip);
  }
}

function isOnItsWay({ path, sender }: Entry, { multihop, interfaceIndex }: Arrival): boolean {
  if (path.multihop !== multihop) return false;
  return sender.interfaceIndex === undefined || sender.interfaceIndex === interfaceIndex;
}

function remoteIn(words: Uint32Array): Remote {
  return {
    discriminator: words[SessionWord.remoteDiscriminator]!,
    state: words[SessionWord.remoteState] as SessionState,
    diagnostic: words[SessionWord.remoteDiagnostic]!,
    desiredMinTx: words[SessionWord.remoteDesiredMinTx]!,
    minRx: words[SessionWord.remoteMinRx]!,
    multiplier: words[SessionWord.remoteMultiplier]!,
    demand: (words[SessionWord.remoteFlags]! & 1) !== 0,
    controlPlaneIndependent: (words[SessionWord.remoteFlags]! & 2) !== 0,
  };
}

// The main thread reads these words at any time; each is written whole, and nobody else writes it.

function put(words: Uint32Array, word: number, value: number): void {
  words[word] = Math.min(value, NEVER);
}

function count(words: Uint32Array, word: number): void {
  words[word] = words[word]! + 1;
}

function raise(words: Uint32Array, word: number, value: number): void {
  if (value > words[word]!) words[word] = value;
}
