/**
 * One connection at work: bytes in and out, timers, and {@link connectionStep} deciding. It knows nothing of routes and
 * nothing of the neighbor's other connection; it tells its owner.
 *
 * Keepalives go out from their timer and, where the event loop is late, from the read path, ahead of UPDATEs not yet encoded:
 * whoever sends UPDATEs looks at {@link Session.writableLength} and encodes no more than the kernel takes.
 */

import type { Clock } from "../clock.ts";
import { MessageError } from "../errors.ts";
import { MessageType } from "../message/constants.ts";
import { Framer, frame } from "../message/framing.ts";
import { decodeNotification, encodeNotification } from "../message/notification.ts";
import { decodeOpen, encodeOpen } from "../message/open.ts";
import {
  decodeRouteRefresh,
  encodeRouteRefresh,
  type RouteRefreshMessage,
} from "../message/route-refresh.ts";
import type { Connection } from "../transport/transport.ts";
import type { TurnBudget } from "../turn-budget.ts";
import {
  type ConnectionAction,
  type ConnectionEnd,
  type ConnectionEvent,
  type ConnectionPhase,
  connectionStep,
  INITIAL_CONNECTION,
  type StopReason,
} from "./connection-fsm.ts";
import type { Direction } from "./connection-slot.ts";
import { LazyTimer } from "./lazy-timer.ts";
import { type Negotiated, openMessage, type SessionConfig } from "./negotiation.ts";

export interface SessionOwner {
  onConnected(session: Session): void;
  onOpenSent(session: Session): void;
  /** Answer with confirm() or stop(), now or later. */
  onOpen(session: Session, negotiated: Negotiated): void;
  onEstablished(session: Session, negotiated: Negotiated): void;
  /** The body of an UPDATE is `bytes` from `start` to `end`, valid only during the call. Throw {@link MessageError} to end the session. */
  onUpdate(session: Session, bytes: Uint8Array, start: number, end: number): void;
  onRouteRefresh(session: Session, message: RouteRefreshMessage): void;
  /** There is room to send again. */
  onDrain(session: Session): void;
  /** Once. */
  onEnded(session: Session, end: ConnectionEnd): void;
  count(direction: "sent" | "received", type: MessageType, messages?: number): void;
}

export class Session {
  readonly id: number;
  readonly direction: Direction;
  readonly connection: Connection;
  readonly #config: SessionConfig;
  readonly #owner: SessionOwner;
  readonly #random: () => number;
  readonly #framer = new Framer();
  readonly #reading: TurnBudget;
  /** Received, but the turn had no time for it. */
  readonly #unread: Uint8Array[] = [];
  /** For a turn with time; the connection is paused meanwhile. */
  #isWaiting = false;
  /** The connection has ended behind what is unread. */
  #lost: { readonly error: Error | undefined } | undefined;
  readonly #delayOpen: LazyTimer;
  readonly #hold: LazyTimer;
  readonly #keepalive: LazyTimer;
  readonly #sendHold: LazyTimer;
  #state = INITIAL_CONNECTION;
  /** A whole message was in the chunk at hand. */
  #heard = false;
  /** Bodies of the OPENs, as far as they have been exchanged: for those who watch the session. */
  readonly opens: { sent: Uint8Array; received: Uint8Array } = {
    sent: new Uint8Array(0),
    received: new Uint8Array(0),
  };
  #written = 0;
  #deliveredAtCheck = 0;

  constructor(options: {
    id: number;
    direction: Direction;
    connection: Connection;
    config: SessionConfig;
    owner: SessionOwner;
    clock: Clock;
    random: () => number;
    /** For all sessions together. */
    reading: TurnBudget;
  }) {
    const { id, direction, connection, config, owner, clock, random, reading } = options;
    this.id = id;
    this.direction = direction;
    this.connection = connection;
    this.#config = config;
    this.#owner = owner;
    this.#random = random;
    this.#reading = reading;
    this.#delayOpen = new LazyTimer(clock, () => this.#dispatch({ type: "delay-open-expired" }));
    this.#hold = new LazyTimer(clock, () => this.#onHoldTimer(), { recheck: true });
    this.#keepalive = new LazyTimer(clock, () => this.#dispatch({ type: "keepalive-due" }));
    this.#sendHold = new LazyTimer(clock, () => this.#checkSendHold());
  }

  /** To be called once; an incoming connection is connected already. */
  start(): void {
    this.connection.setHandler({
      onConnect: () => this.#onConnect(),
      onData: chunk => this.#onData(chunk),
      onDrain: () => this.#onDrain(),
      onClose: error => this.#onClose(error),
    });
    if (this.direction === "incoming") this.#dispatch({ type: "connected" });
  }

  get phase(): ConnectionPhase {
    return this.#state.phase;
  }

  get negotiated(): Negotiated | undefined {
    return this.#state.negotiated;
  }

  get writableLength(): number {
    return this.connection.writableLength;
  }

  confirm(): void {
    this.#dispatch({ type: "confirm" });
  }

  stop(why: StopReason = {}): void {
    this.#dispatch({ type: "stop", ...why });
  }

  /** Complete UPDATE messages. The bytes must not be changed afterwards. */
  sendUpdates(bytes: Uint8Array, messages: number): void {
    if (this.phase !== "Established") return;
    this.#owner.count("sent", MessageType.update, messages);
    this.#write(bytes);
  }

  sendRouteRefresh(message: RouteRefreshMessage): void {
    if (this.phase === "Established") this.#send(MessageType.routeRefresh, encodeRouteRefresh(message));
  }

  #onConnect(): void {
    this.#owner.onConnected(this);
    this.#dispatch({ type: "connected" });
  }

  #onData(chunk: Uint8Array): void {
    this.#unread.push(chunk);
    if (this.#isWaiting) return;
    if (this.#reading.isSpent) this.#wait();
    else this.#readOn();
  }

  /** Reads until there is nothing left or the turn's time is over: at least one message. */
  #readOn(): void {
    let hasTime = true;
    while (hasTime && this.#unread.length > 0) {
      const chunk = this.#unread.shift()!;
      const done = this.#read(chunk);
      if (this.phase === "Closed") return;
      if (done < chunk.length) this.#unread.unshift(chunk.subarray(done));
      hasTime = done === chunk.length && !this.#reading.isSpent;
    }
    this.#keepalive.poll();
    if (this.#unread.length > 0) this.#wait();
    else if (this.#isWaiting) this.#stopWaiting();
  }

  #read(chunk: Uint8Array): number {
    this.#heard = false;
    try {
      return this.#framer.push(chunk, this.#onMessage);
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#dispatch({ type: "invalid", error });
      return chunk.length;
    } finally {
      // Whole messages count (RFC 4271 8.2.2), not bytes: who dribbles is as good as dead.
      if (this.#heard) this.#hold.touch();
    }
  }

  #wait(): void {
    if (!this.#isWaiting) this.connection.pause();
    this.#isWaiting = true;
    this.#reading.later(() => {
      if (this.phase === "Closed") return;
      this.#hold.touch();
      this.#readOn();
    });
  }

  #stopWaiting(): void {
    this.#isWaiting = false;
    if (this.#lost === undefined) this.connection.resume();
    else this.#dispatch({ type: "lost", ...this.#lost });
  }

  #onClose(error: Error | undefined): void {
    // What came before the end counts, a NOTIFICATION above all.
    if (this.#isWaiting) this.#lost = { error };
    else this.#dispatch({ type: "lost", error });
  }

  #onHoldTimer(): void {
    // It is we who are late.
    if (this.#isWaiting) this.#hold.touch();
    else this.#dispatch({ type: "hold-expired" });
  }

  readonly #onMessage = (type: MessageType, bytes: Uint8Array, start: number, end: number): boolean => {
    this.#heard = true;
    this.#owner.count("received", type);
    if (type === MessageType.update) {
      if (this.phase !== "Established") this.#dispatch({ type: "update" });
      else this.#owner.onUpdate(this, bytes, start, end);
    } else this.#onRareMessage(type, bytes.subarray(start, end));
    return this.phase !== "Closed" && !this.#reading.isSpent;
  };

  #onRareMessage(type: MessageType, body: Uint8Array): void {
    switch (type) {
      case MessageType.open:
        this.opens.received = body.slice();
        this.#dispatch({ type: "open", open: decodeOpen(body) });
        break;
      case MessageType.notification:
        this.#dispatch({ type: "notification", notification: decodeNotification(body) });
        break;
      case MessageType.keepalive:
        this.#dispatch({ type: "keepalive" });
        break;
      case MessageType.routeRefresh: {
        const message = decodeRouteRefresh(body);
        this.#dispatch({ type: "route-refresh" });
        if (this.phase === "Established") this.#owner.onRouteRefresh(this, message);
      }
    }
  }

  #dispatch(event: ConnectionEvent): void {
    const { state, actions } = connectionStep(this.#state, event, this.#config);
    this.#state = state;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: ConnectionAction): void {
    switch (action.do) {
      case "send-open":
        this.opens.sent = encodeOpen(openMessage(this.#config));
        this.#send(MessageType.open, this.opens.sent);
        this.#owner.onOpenSent(this);
        break;
      case "send-keepalive":
        this.#send(MessageType.keepalive);
        break;
      case "send-notification":
        this.#send(MessageType.notification, encodeNotification(action.notification));
        break;
      case "delay-open-timer":
        this.#delayOpen.start(action.seconds * 1000);
        break;
      case "hold-timer":
        this.#hold.start(action.seconds * 1000);
        break;
      case "keepalive-timer":
        // RFC 4271 10: jitter of 75 to 100 % keeps a thousand sessions from beating together.
        this.#keepalive.start(action.seconds * 1000 * (0.75 + this.#random() * 0.25));
        break;
      case "report-open":
        // The neighbor has our OPEN: what it sends from now on may be long (RFC 8654 4).
        if (action.negotiated.extendedMessages) this.#framer.allowExtended();
        this.#owner.onOpen(this, action.negotiated);
        break;
      case "report-established":
        this.#owner.onEstablished(this, action.negotiated);
        break;
      case "close":
        this.#delayOpen.stop();
        this.#hold.stop();
        this.#keepalive.stop();
        this.#sendHold.stop();
        // An error must not leave a queue of UPDATEs behind for a peer that does not read.
        if (action.end.reason === "send-hold-expired" || action.end.reason === "lost")
          this.connection.destroy();
        else this.connection.end();
        this.#owner.onEnded(this, action.end);
    }
  }

  #send(type: MessageType, body?: Uint8Array): void {
    this.#owner.count("sent", type);
    this.#write(frame(type, body));
  }

  #write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.connection.write(bytes);
    this.#keepalive.touch();
    if (this.connection.writableLength === 0 || this.#sendHold.isRunning) return;
    this.#deliveredAtCheck = this.#delivered;
    this.#sendHold.start((this.#state.negotiated?.sendHoldTime ?? 0) * 1000);
  }

  get #delivered(): number {
    return this.#written - this.connection.writableLength;
  }

  #onDrain(): void {
    if (this.phase === "Closed") return;
    this.#sendHold.stop();
    this.#owner.onDrain(this);
  }

  /** RFC 9687: only a peer that has taken nothing at all in the whole time is given up. */
  #checkSendHold(): void {
    if (this.connection.writableLength === 0) return;
    const delivered = this.#delivered;
    if (delivered === this.#deliveredAtCheck) {
      this.#dispatch({ type: "send-hold-expired" });
      return;
    }
    this.#deliveredAtCheck = delivered;
    this.#sendHold.touch();
  }
}
