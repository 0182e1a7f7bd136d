/**
 * A neighbor at work: performs what {@link neighborStep} decides on its connections, and hands the Established one to its routes (peer-routes.ts).
 */

import { parseRouterId } from "../address.ts";
import { NeighborWatch } from "../bfd/neighbor-watch.ts";
import { Cease, type MessageType, NotificationCode } from "../message/constants.ts";
import { describeNotification, type NotificationMessage } from "../message/notification.ts";
import type { RouteRefreshMessage } from "../message/route-refresh.ts";
import type { NeighborStatus } from "../neighbor.ts";
import type { Family, ReceivedRoute, Route } from "../route.ts";
import type { Connection } from "../transport/transport.ts";
import { type ConnectionEnd, notification, type StopReason } from "./connection-fsm.ts";
import type { Direction } from "./connection-slot.ts";
import { MessageTally } from "./message-tally.ts";
import type { MonitoredSession } from "./monitor.ts";
import type { Negotiated } from "./negotiation.ts";
import type { NeighborConfig } from "./neighbor-config.ts";
import {
  INITIAL_NEIGHBOR,
  type NeighborFsmAction,
  type NeighborFsmEvent,
  neighborStep,
  visibleState,
} from "./neighbor-fsm.ts";
import { NeighborLog } from "./neighbor-log.ts";
import { neighborStatus } from "./neighbor-status.ts";
import { NeighborTimers } from "./neighbor-timers.ts";
import type { PeerEnvironment } from "./peer-environment.ts";
import { PeerRoutes } from "./peer-routes.ts";
import { holdAfter } from "./prefix-limit.ts";
import { Session, type SessionOwner } from "./session.ts";
import { sessionConfig } from "./session-config.ts";

const STOP_REASONS: Record<Extract<NeighborFsmAction, { do: "close" }>["why"], StopReason> = {
  collision: {
    reason: "collision",
    notification: notification(NotificationCode.cease, Cease.connectionCollision),
  },
  // For the routes it is as if the connection had been lost (RFC 4724 5).
  replaced: { reason: "lost", text: "the neighbor has restarted" },
  "no-answer": { reason: "connect-failed", text: "no answer" },
  needless: {},
};

export class Peer implements SessionOwner {
  readonly #env: PeerEnvironment;
  #config: NeighborConfig;
  readonly #routes: PeerRoutes;
  readonly #log: NeighborLog;
  readonly #tally: MessageTally;
  readonly #bfd: NeighborWatch;
  #fsm = INITIAL_NEIGHBOR;
  readonly #sessions = new Map<number, Session>();
  /** The connection of an `incoming` event being decided on. */
  #candidate: Connection | undefined;
  /** Between start and stop. */
  #isWanted = false;
  #nextSessionId = 1;
  #established: Session | undefined;
  #monitored: MonitoredSession | undefined;
  readonly #timers: NeighborTimers;

  constructor(env: PeerEnvironment, config: NeighborConfig, addressBytes: Uint8Array) {
    this.#env = env;
    this.#config = config;
    this.#routes = new PeerRoutes(env, config, addressBytes);
    this.#log = new NeighborLog(env.clock, config.address);
    this.#timers = new NeighborTimers(env.clock, event => this.#step(event));
    this.#tally = new MessageTally(env.clock);
    this.#bfd = new NeighborWatch(() => env.bfd(), {
      onPathUp: () => this.#onPathUp(),
      onPathDown: why => this.#onPathDown(why),
    });
  }

  get config(): NeighborConfig {
    return this.#config;
  }

  /** It has no connection, is not held back for an error, and keeps no routes: there is nothing to lose with it. */
  get isQuiet(): boolean {
    const { slots, waiting } = this.#fsm;
    return slots.length === 0 && waiting !== "idle-hold" && !this.#routes.status().restarting;
  }

  start(): void {
    this.#isWanted = true;
    this.#bfd.follow(this.#config);
    if (this.#bfd.allows(this.#config)) this.#step({ type: "start" });
  }

  /** Ends all connections. */
  stop(sent: NotificationMessage): void {
    this.#giveUp();
    this.unwatch();
    for (const session of [...this.#sessions.values()]) session.stop({ notification: sent });
    this.#routes.drop();
    this.#update();
  }

  /**
   * Ends all connections so that the neighbor keeps our routes: without a word, unless it takes none amiss (RFC 8538). BFD goes on until
   * {@link unwatch}: a neighbor that took its end for a failure, while the session still stood for it, would drop the routes.
   */
  leave(farewell: NotificationMessage): void {
    this.#giveUp();
    for (const session of [...this.#sessions.values()]) {
      const understands = session.negotiated?.gracefulRestart?.notification ?? false;
      session.stop({ notification: understands ? farewell : undefined });
    }
    this.#update();
  }

  #giveUp(): void {
    this.#isWanted = false;
    this.#step({ type: "stop" });
  }

  get isWatched(): boolean {
    return this.#bfd.status() !== undefined;
  }

  /** No BFD any more; the neighbor is told that this is no failure. */
  unwatch(): void {
    this.#bfd.follow(undefined);
  }

  /** For ever: nothing of it stays in the routing table. */
  remove(sent: NotificationMessage): void {
    this.stop(sent);
    this.#routes.remove();
  }

  /** Ends the session; it comes back by itself, also where it would have waited. */
  reset(sent: NotificationMessage): void {
    const sessions = [...this.#sessions.values()];
    for (const session of sessions) session.stop({ notification: sent });
    if (sessions.length === 0) this.#step({ type: "reset" });
  }

  /** Settings that need no new session. */
  reconfigure(config: NeighborConfig): void {
    this.#config = config;
    if (this.#isWanted) this.start();
    this.#routes.reconfigure(config);
  }

  /**
   * Settings that need a new session: ends this one and begins another. The routes stay over the gap where graceful restart allows it, on both
   * sides.
   */
  restart(config: NeighborConfig, sent: NotificationMessage): void {
    const wasWanted = this.#isWanted;
    const isSomebodyElse = config.asn !== this.#config.asn || config.localAsn !== this.#config.localAsn;
    this.#giveUp();
    for (const session of [...this.#sessions.values()]) session.stop({ notification: sent });
    if (isSomebodyElse || config.gracefulRestartTime === 0) this.#routes.drop();
    this.#config = config;
    this.#routes.reconfigure(config);
    if (wasWanted) this.start();
    else this.#update();
  }

  accept(connection: Connection): void {
    this.#candidate = connection;
    this.#step({ type: "incoming", id: this.#nextSessionId++ });
    this.#candidate = undefined;
  }

  refreshExports(): void {
    this.#routes.refreshExports();
  }

  requestRefresh(): void {
    this.#routes.requestRefresh();
  }

  refreshImports(): void {
    this.#routes.refreshImports();
  }

  advertised(): IterableIterator<Route> {
    return this.#routes.advertised();
  }

  received(family: Family, view: "before" | "after"): IterableIterator<ReceivedRoute> {
    return this.#routes.received(family, view);
  }

  status(): NeighborStatus {
    return neighborStatus({
      config: this.#config,
      log: this.#log,
      tally: this.#tally,
      session: this.#established,
      bfd: this.#bfd.status(),
      routes: this.#routes,
    });
  }

  // --- what sessions tell

  count(direction: "sent" | "received", type: MessageType, messages = 1): void {
    this.#tally.add(direction, type, messages);
  }

  onConnected(session: Session): void {
    this.#step({ type: "connected", id: session.id });
  }

  onOpenSent(session: Session): void {
    this.#step({ type: "open-sent", id: session.id });
  }

  onOpen(session: Session, negotiated: Negotiated): void {
    this.#step({
      type: "open-received",
      id: session.id,
      remoteRouterId: parseRouterId(negotiated.remoteRouterId)!,
      remoteAsn: this.#config.asn,
      gracefulRestart: this.#routes.keepsRoutes(negotiated),
      restarting: negotiated.gracefulRestart?.restarting ?? false,
    });
  }

  onEstablished(session: Session, negotiated: Negotiated): void {
    this.#established = session;
    if (this.#env.restarting) this.#env.met.add(this.#config.address);
    this.#step({ type: "established", id: session.id });
    this.#routes.established(session, negotiated);
    // What it was sent may have ended it.
    if (this.#established !== session) return;
    this.#monitored = this.#monitoredSession(session, negotiated);
    for (const monitor of this.#env.monitors) monitor.up(this.#monitored);
  }

  onUpdate(session: Session, bytes: Uint8Array, start: number, end: number): void {
    this.#routes.update(session, bytes, start, end);
    if (this.#env.monitors.size === 0 || this.#monitored === undefined) return;
    for (const monitor of this.#env.monitors) monitor.update(this.#monitored, bytes, start, end);
  }

  /** The Established session, for those who watch. */
  get monitored(): MonitoredSession | undefined {
    return this.#monitored;
  }

  onRouteRefresh(session: Session, message: RouteRefreshMessage): void {
    this.#routes.routeRefresh(session, message);
  }

  onDrain(_session: Session): void {
    this.#env.table.wake();
  }

  onEnded(session: Session, end: ConnectionEnd): void {
    this.#sessions.delete(session.id);
    this.#log.noteEnd(end, session === this.#established);
    if (session === this.#established) {
      this.#established = undefined;
      this.#routes.lost(session.negotiated!, end);
      const monitored = this.#monitored;
      this.#monitored = undefined;
      if (monitored !== undefined) for (const monitor of this.#env.monitors) monitor.down(monitored, end);
    }
    const { reason, damped } = end;
    this.#step({
      type: "ended",
      id: session.id,
      reason,
      damped,
      holdMs: holdAfter(end, this.#config.maxPrefixes),
    });
  }

  #monitoredSession({ connection, opens }: Session, negotiated: Negotiated): MonitoredSession {
    const { localAddress, localPort, remotePort } = connection;
    const session = this.#established!;
    return {
      address: this.#config.address,
      asn: this.#config.asn,
      localAddress,
      localPort,
      remotePort,
      since: this.#env.clock.now(),
      negotiated,
      opens,
      importContext: () => this.#routes.importContext(session),
      received: (family, prefixes) => this.#routes.receivedInSteps(family, prefixes),
      requestRefresh: () => this.#routes.requestRefresh(),
      status: () => this.status(),
    };
  }

  // --- what BFD tells

  #onPathUp(): void {
    if (!this.#isWanted) return;
    if (!this.#fsm.up) this.#step({ type: "start" });
    // There is nothing to wait for any more.
    else if (this.#sessions.size === 0) this.#step({ type: "path-up" });
  }

  /** RFC 9384. A graceful restart that is under way goes on (RFC 5882 4.3.2.2): there is no session then. */
  #onPathDown(why: string): void {
    const { strict, keepRoutes } = this.#config.bfd!;
    if (strict) this.#step({ type: "stop" });
    const sent = notification(NotificationCode.cease, Cease.bfdDown);
    const text = `${describeNotification(sent)}: ${why}`;
    const reason: StopReason = keepRoutes ? { reason: "lost" } : { notification: sent };
    for (const session of [...this.#sessions.values()]) session.stop({ ...reason, text, automatic: true });
    this.#update();
  }

  // --- the neighbor's machine

  #step(event: NeighborFsmEvent): void {
    const { passive, passiveFallback, connectRetryTime, localAsn } = this.#config;
    const { state, actions } = neighborStep(this.#fsm, event, {
      config: {
        passive,
        passiveFallback,
        connectRetryTime,
        localAsn,
        localRouterId: parseRouterId(this.#env.routerId)!,
      },
      now: this.#env.clock.now(),
      random: this.#env.random(),
    });
    this.#fsm = state;
    for (const action of actions) this.#perform(action);
    this.#update();
  }

  #perform(action: NeighborFsmAction): void {
    switch (action.do) {
      case "dial":
        this.#dial();
        break;
      case "accept":
        this.#open(action.id, "incoming", this.#candidate!);
        break;
      case "refuse":
        this.#candidate!.destroy();
        break;
      case "confirm":
        this.#sessions.get(action.id)?.confirm();
        break;
      case "close":
        this.#sessions.get(action.id)?.stop(STOP_REASONS[action.why]);
        break;
      case "arm":
        this.#timers.arm(action);
        break;
      case "disarm":
        this.#timers.disarm();
    }
  }

  #dial(): void {
    const { address, port, localAddress, password, ttlSecurity, interface: name } = this.#config;
    const id = this.#nextSessionId++;
    const connection = this.#env.transport.connect({
      address,
      port,
      localAddress,
      interface: name,
      password,
      ttlSecurity,
    });
    this.#step({ type: "dialled", id });
    this.#open(id, "outgoing", connection);
  }

  #open(id: number, direction: Direction, connection: Connection): void {
    const { clock, random, reading } = this.#env;
    const config = sessionConfig(this.#config, this.#env);
    const session = new Session({ id, direction, connection, config, owner: this, clock, random, reading });
    this.#sessions.set(id, session);
    session.start();
  }

  /** Reports the state when it is another. */
  #update(): void {
    const event = this.#log.enter(visibleState(this.#fsm));
    if (event !== undefined) this.#env.onNeighbor(event);
  }
}
