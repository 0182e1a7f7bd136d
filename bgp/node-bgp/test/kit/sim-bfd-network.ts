/** Session tables in one simulated network: hosts by address, links by interface. What a worker does with sockets, without any. */

import { SessionState, stateName } from "../../bfd/constants.ts";
import { type BfdSessionOptions, sessionConfig, sessionPath } from "../../bfd/session-options.ts";
import { SessionTable } from "../../bfd/session-table.ts";
import {
  DISCARD_REASONS,
  type DiscardReason,
  type Notice,
  SESSION_WORDS,
  SessionWord,
  THREAD_WORDS,
  ThreadWord,
} from "../../bfd/worker-protocol.ts";
import type { SimClock } from "./sim-clock.ts";

export interface SimPacket {
  readonly from: string;
  readonly to: string;
  readonly multihop: boolean;
  readonly ttl: number;
  readonly interfaceIndex: number;
  readonly bytes: Uint8Array;
}

export class SimBfdHost {
  readonly address: string;
  readonly notices: Notice[] = [];
  readonly shared = new Uint32Array(new SharedArrayBuffer(THREAD_WORDS * 4));
  readonly sent: SimPacket[] = [];
  table: SessionTable;
  /** Answers of the next sends; undefined: they succeed. */
  sendFails: string | undefined;
  readonly #clock: SimClock;
  readonly #deliver: (packet: SimPacket) => void;
  readonly #words: Uint32Array<SharedArrayBuffer>[] = [];
  #timer: unknown;
  #discriminator: number;

  constructor(clock: SimClock, address: string, discriminator: number, deliver: (packet: SimPacket) => void) {
    this.#clock = clock;
    this.address = address;
    this.#discriminator = discriminator;
    this.#deliver = deliver;
    this.table = this.#newTable();
  }

  /** Its number. `words`: of the same session in a thread that has died. */
  add(options: BfdSessionOptions, words = new Uint32Array(new SharedArrayBuffer(SESSION_WORDS * 4))): number {
    const id = this.#words.push(words) - 1;
    this.table.do({
      do: "add",
      id,
      path: sessionPath(options),
      config: sessionConfig({ pollInterval: 0, ...options }),
      shared: words.buffer,
    });
    this.#arm();
    return id;
  }

  remove(id: number): void {
    this.table.do({ do: "remove", id });
    this.#arm();
  }

  words(id: number): Uint32Array<SharedArrayBuffer> {
    return this.#words[id]!;
  }

  state(id: number): string {
    return stateName(this.words(id)[SessionWord.state] as SessionState);
  }

  isUp(id: number): boolean {
    return this.words(id)[SessionWord.state] === SessionState.up;
  }

  discarded(reason: DiscardReason): number {
    return this.shared[ThreadWord.discards + DISCARD_REASONS.indexOf(reason)]!;
  }

  causes(id: number): string[] {
    return this.notices.flatMap(notice =>
      notice.tell === "state" && notice.id === id ? [notice.cause] : [],
    );
  }

  receive({ from, to, multihop, ttl, interfaceIndex, bytes }: SimPacket): void {
    this.table.receive(bytes, { multihop, ttl, interfaceIndex, source: () => from, destination: () => to });
    this.#arm();
  }

  /** The thread dies, and another one begins with what lies in the shared memory. */
  replaceThread(): SessionTable {
    this.table = this.#newTable();
    return this.table;
  }

  #newTable(): SessionTable {
    return new SessionTable({
      now: () => this.#clock.now() * 1000,
      wallClock: () => this.#clock.now(),
      random: () => 0.5,
      discriminator: () => this.#discriminator++,
      shared: this.shared,
      tell: notice => this.notices.push(notice),
      openSender: path => ({
        interfaceIndex: path.interface === undefined ? undefined : interfaceIndexOf(path.interface),
        send: bytes => {
          if (this.sendFails !== undefined) return this.sendFails;
          const packet: SimPacket = {
            from: path.localAddress ?? this.address,
            to: path.address,
            multihop: path.multihop,
            ttl: 255,
            interfaceIndex: path.interface === undefined ? 1 : interfaceIndexOf(path.interface),
            bytes: bytes.slice(),
          };
          this.sent.push(packet);
          this.#clock.setTimeout(() => this.#deliver(packet), 1);
          return undefined;
        },
        close: () => {},
      }),
    });
  }

  #arm(): void {
    this.#clock.clearTimeout(this.#timer);
    const { deadline } = this.table;
    if (deadline === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.setTimeout(
      () => {
        this.table.wake();
        this.#arm();
      },
      deadline / 1000 - this.#clock.now(),
    );
  }
}

/** `eth2` is 2, at both ends of the link. */
export function interfaceIndexOf(name: string): number {
  return Number(name.replace(/\D/g, ""));
}
