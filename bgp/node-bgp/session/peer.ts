/**
 * A neighbor at work: performs what {@link neighborStep} decides on its connections, and joins the Established one to the routing table.
 *
 * Sessions come and go; the routing table sees one source (what the neighbor sends) and one member per family (what it is sent).
 */

import { familyOfAddress, parseRouterId } from "../address.ts";
import type { Clock, TimerHandle } from "../clock.ts";
import { afiSafiOf, Cease, familyOf, type MessageType, NotificationCode } from "../message/constants.ts";
import type { NotificationMessage } from "../message/notification.ts";
import type { RouteRefreshMessage } from "../message/route-refresh.ts";
import { decodeUpdate, type Update } from "../message/update.ts";
import type {
  NeighborError,
  NeighborErrorReason,
  NeighborEvent,
  NeighborState,
  NeighborStatus,
  UpdateProblemEvent,
} from "../neighbor.ts";
import type { ImportContext } from "../rib/import.ts";
import type { ExportRule, RoutingTable } from "../rib/routing-table.ts";
import type { Member } from "../rib/update-group.ts";
import { Family, type Route } from "../route.ts";
import type { Connection, Transport } from "../transport/transport.ts";
import type { TurnBudget } from "../turn-budget.ts";
import { type ConnectionEnd, notification, type StopReason } from "./connection-fsm.ts";
import { MessageTally } from "./message-tally.ts";
import type { Negotiated, SessionConfig } from "./negotiation.ts";
import type { NeighborConfig } from "./neighbor-config.ts";
import {
  type Direction,
  INITIAL_NEIGHBOR,
  type NeighborFsmAction,
  type NeighborFsmEvent,
  neighborStep,
} from "./neighbor-fsm.ts";
import { RestartHelper } from "./restart-helper.ts";
import type { SelectionDeferral } from "./selection-deferral.ts";
import { Session, type SessionOwner } from "./session.ts";

/** What peers share. */
export interface PeerEnvironment {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transport: Transport;
  readonly reading: TurnBudget;
  readonly table: RoutingTable;
  readonly routerId: string;
  readonly clusterId: string;
  readonly forwardingPreserved: boolean;
  /** While route selection waits after a restart. */
  deferral(): SelectionDeferral | undefined;
  onNeighbor(event: NeighborEvent): void;
  onUpdateProblem(event: UpdateProblemEvent): void;
}

const ERROR_REASONS: Record<ConnectionEnd["reason"], NeighborErrorReason> = {
  "connect-failed": "connect-failed",
  lost: "connection-lost",
  "notification-sent": "notification-sent",
  "notification-received": "notification-received",
  "send-hold-expired": "send-hold-expired",
  collision: "collision",
  stopped: "notification-sent",
};

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
  readonly #source: number;
  #fsm = INITIAL_NEIGHBOR;
  readonly #sessions = new Map<number, Session>();
  /** The connection of an `incoming` event being decided on. */
  #candidate: Connection | undefined;
  #nextSessionId = 1;
  #established: Session | undefined;
  #members = new Map<Family, Member>();
  readonly #disabledFamilies = new Set<Family>();
  /** Families whose End-of-RIB has come in this session. */
  readonly #complete = new Set<Family>();
  #waitTimer: TimerHandle | undefined;
  #collisionTimer: TimerHandle | undefined;
  readonly #helper: RestartHelper;
  /** It has been Established since this speaker started: the R bit is for the first time only. */
  #hasBeenEstablished = false;
  readonly #tally = new MessageTally();
  #state: NeighborState = "Idle";
  #since: number;
  #establishedCount = 0;
  #lastError: NeighborError | undefined;

  constructor(env: PeerEnvironment, config: NeighborConfig, addressBytes: Uint8Array) {
    this.#env = env;
    this.#config = config;
    this.#since = env.clock.now();
    this.#source = env.table.sources.add({
      type: config.type,
      address: config.address,
      addressBytes,
      reflectorClient: config.reflectorClient,
      routerId: 0,
    }).index;
    this.#helper = new RestartHelper(env.clock, env.table, this.#source);
  }

  get config(): NeighborConfig {
    return this.#config;
  }

  start(): void {
    this.#step({ type: "start" });
  }

  /** Ends all connections: with a NOTIFICATION, or by closing them (the neighbor may then keep our routes). */
  stop(sent?: NotificationMessage): void {
    this.#step({ type: "stop" });
    for (const session of [...this.#sessions.values()]) session.stop({ notification: sent });
    if (sent !== undefined) this.#helper.drop();
    this.#update();
  }

  /** For ever: nothing of it stays in the routing table. */
  remove(sent: NotificationMessage): void {
    this.stop(sent);
    for (const family of Object.values(Family)) this.#env.table.removeAll(this.#source, family, "all");
    this.#env.table.releaseSource(this.#source);
  }

  /** Ends the session; it comes back by itself. */
  reset(sent: NotificationMessage): void {
    for (const session of [...this.#sessions.values()]) session.stop({ notification: sent });
  }

  /** Settings that need no new session. */
  reconfigure(config: NeighborConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#env.table.updateSource(this.#source, {
      type: config.type,
      reflectorClient: config.reflectorClient,
    });
    for (const [family, member] of this.#members) this.#env.table.join(member, family, this.#exportRule());
    const importChanged =
      before.importPolicy !== config.importPolicy || before.allowedLocalAs !== config.allowedLocalAs;
    if (importChanged) this.requestRefresh();
  }

  accept(connection: Connection): void {
    this.#candidate = connection;
    this.#step({ type: "incoming", id: this.#nextSessionId++ });
    this.#candidate = undefined;
  }

  refreshExports(): void {
    for (const member of this.#members.values()) this.#env.table.refreshExports(member);
  }

  requestRefresh(): void {
    const session = this.#established;
    if (!session?.negotiated?.routeRefresh) return;
    for (const family of session.negotiated.families) {
      session.sendRouteRefresh({ ...afiSafiOf(family), subtype: 0 });
    }
  }

  *advertised(): Generator<Route> {
    for (const [family, member] of this.#members) yield* this.#env.table.advertised(member, family);
  }

  status(): NeighborStatus {
    const { address, asn, localAsn, type, description, families, policyMissing } = this.#config;
    const { table } = this.#env;
    const counts = Object.values(Family).map(family => table.pathCount(this.#source, family));
    const advertised = [...this.#members.values()].map(member => table.advertisedTo(member));
    const negotiated = this.#established?.negotiated;
    return {
      address,
      asn,
      localAsn,
      type,
      description,
      state: this.#state,
      since: this.#since,
      established: this.#establishedCount,
      lastError: this.#lastError,
      localAddress: this.#established?.connection.localAddress,
      remotePort: this.#established?.connection.remotePort,
      remoteRouterId: negotiated?.remoteRouterId,
      remoteCapabilities: negotiated?.remoteCapabilities,
      holdTime: negotiated?.holdTime,
      families: negotiated?.families ?? families,
      policyMissing,
      restarting: this.#helper.isKeeping,
      synchronized: negotiated !== undefined && [...negotiated.families].every(f => this.#complete.has(f)),
      sent: this.#tally.snapshot("sent"),
      received: this.#tally.snapshot("received"),
      prefixes: {
        received: sum(counts.map(({ paths }) => paths)),
        stale: sum(counts.map(({ stale }) => stale)),
        advertised: sum(advertised),
      },
    };
  }

  // --- what sessions tell

  count(direction: "sent" | "received", type: MessageType, messages = 1): void {
    this.#tally.add(direction, type, messages);
  }

  onConnected(session: Session): void {
    this.#step({ type: "connected", id: session.id });
  }

  onOpen(session: Session, negotiated: Negotiated): void {
    this.#step({
      type: "open-received",
      id: session.id,
      remoteRouterId: parseRouterId(negotiated.remoteRouterId)!,
      remoteAsn: this.#config.asn,
      gracefulRestart: this.#isHelper(negotiated),
      restarting: negotiated.gracefulRestart?.restarting ?? false,
    });
  }

  onEstablished(session: Session, negotiated: Negotiated): void {
    const { table } = this.#env;
    this.#established = session;
    this.#establishedCount++;
    this.#hasBeenEstablished = true;
    this.#disabledFamilies.clear();
    this.#complete.clear();
    this.#step({ type: "established", id: session.id });
    table.updateSource(this.#source, { routerId: parseRouterId(negotiated.remoteRouterId)! });
    this.#helper.onReturn(negotiated);
    for (const family of negotiated.families) {
      const member: Member = {
        source: this.#source,
        get writableLength() {
          return session.writableLength;
        },
        sendUpdates: (bytes, messages) => session.sendUpdates(bytes, messages),
      };
      this.#members.set(family, member);
      table.join(member, family, this.#exportRule());
    }
    const awaited = negotiated.gracefulRestart;
    this.#env
      .deferral()
      ?.established(
        this.#config.address,
        awaited === undefined || awaited.restarting ? [] : awaited.families.keys(),
      );
  }

  onUpdate(session: Session, bytes: Uint8Array, start: number, end: number): void {
    const { table } = this.#env;
    const update = decodeUpdate(bytes.subarray(start, end), session.negotiated!);
    const families = session.negotiated!.families.filter(family => !this.#disabledFamilies.has(family));
    table.receive(this.#source, update, this.#importContext(session), families);
    if (update.problems.length > 0) this.#onProblems(update);
    if (update.endOfRib !== undefined) this.#onEndOfRib(update.endOfRib);
  }

  onRouteRefresh(_session: Session, { afi, safi, subtype }: RouteRefreshMessage): void {
    const family = familyOf(afi, safi);
    const member = family === undefined || subtype !== 0 ? undefined : this.#members.get(family);
    if (member !== undefined) this.#env.table.resend(member);
  }

  onDrain(_session: Session): void {
    this.#env.table.wake();
  }

  onEnded(session: Session, end: ConnectionEnd): void {
    this.#sessions.delete(session.id);
    this.#noteError(end);
    if (session === this.#established) this.#onSessionLost(session, end);
    this.#step({ type: "ended", id: session.id, reason: end.reason });
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
        this.#arm(action.timer, action.ms);
        break;
      case "disarm":
        this.#env.clock.clearTimeout(this.#waitTimer);
        this.#env.clock.clearTimeout(this.#collisionTimer);
    }
  }

  #arm(timer: "retry" | "idle-hold" | "collision-wait", ms: number): void {
    const { clock } = this.#env;
    const handle = clock.setTimeout(() => this.#step({ type: `${timer}-expired` }), ms);
    if (timer === "collision-wait") {
      clock.clearTimeout(this.#collisionTimer);
      this.#collisionTimer = handle;
    } else {
      clock.clearTimeout(this.#waitTimer);
      this.#waitTimer = handle;
    }
  }

  #dial(): void {
    const { address, port, localAddress, password, ttlSecurity } = this.#config;
    const id = this.#nextSessionId++;
    const connection = this.#env.transport.connect({ address, port, localAddress, password, ttlSecurity });
    this.#step({ type: "dialled", id });
    this.#open(id, "outgoing", connection);
  }

  #open(id: number, direction: Direction, connection: Connection): void {
    const { clock, random, reading } = this.#env;
    const config = this.#sessionConfig();
    const session = new Session({ id, direction, connection, config, owner: this, clock, random, reading });
    this.#sessions.set(id, session);
    session.start();
  }

  #sessionConfig(): SessionConfig {
    const { localAsn, asn, holdTime, keepaliveTime, sendHoldTime, families, gracefulRestartTime } =
      this.#config;
    const restarting = this.#env.deferral() !== undefined && !this.#hasBeenEstablished;
    const { routerId, forwardingPreserved } = this.#env;
    const gracefulRestart =
      gracefulRestartTime === 0
        ? undefined
        : {
            restartTime: gracefulRestartTime,
            restarting,
            forwardingPreserved,
            notification: false,
            longLivedStaleTime: 0,
          };
    return {
      localAsn,
      asn,
      routerId,
      holdTime,
      keepaliveTime,
      sendHoldTime,
      families,
      gracefulRestart,
      addPath: { receive: false, send: false },
      extendedMessages: false,
      extendedNextHop: false,
      enhancedRefresh: false,
    };
  }

  // --- routes

  #importContext(session: Session): ImportContext {
    const { policyNeighbor, allowedLocalAs, importPolicy } = this.#config;
    const { routerId, clusterId } = this.#env;
    const { localAddress } = session.connection;
    return {
      neighbor: policyNeighbor,
      allowedLocalAs,
      routerId,
      clusterId,
      localAddress,
      policy: importPolicy,
    };
  }

  #exportRule(): ExportRule {
    const { type, localAsn, reflectorClient, nextHopMode, nextHopSelf, policyNeighbor } = this.#config;
    const session = this.#established!;
    const local = session.connection.localAddress.replace(/%.*$/, "");
    const isIpv4 = familyOfAddress(local) === Family.ipv4Unicast;
    return {
      target: {
        type,
        localAsn,
        reflectorClient,
        nextHopMode,
        nextHopSelf: {
          ipv4: nextHopSelf.ipv4 ?? (isIpv4 ? local : undefined),
          ipv6: nextHopSelf.ipv6 ?? (isIpv4 ? undefined : local),
        },
        clusterId: this.#env.clusterId,
        fourOctetAs: session.negotiated!.fourOctetAs,
      },
      policy: this.#config.exportPolicy,
      neighbor: policyNeighbor,
      groupName: this.#config.exportGroup,
    };
  }

  #onProblems(update: Update): void {
    for (const { action, family } of update.problems) {
      if (action !== "disable-family" || family === undefined) continue;
      // RFC 7606 2: nothing more is believed of this family until the next session.
      this.#disabledFamilies.add(family);
      this.#env.table.removeAll(this.#source, family, "all");
    }
    this.#env.onUpdateProblem({
      address: this.#config.address,
      problems: update.problems.map(({ action, text }) => ({ action, text })),
      prefixes: sum(
        [...update.withdrawn, ...update.announced.map(({ nlri }) => nlri)].map(({ count }) => count),
      ),
    });
  }

  #onEndOfRib(family: Family): void {
    this.#complete.add(family);
    this.#helper.onEndOfRib(family);
    this.#env.deferral()?.endOfRib(this.#config.address, family);
  }

  #onSessionLost(session: Session, end: ConnectionEnd): void {
    this.#established = undefined;
    for (const [family, member] of this.#members) this.#env.table.leave(member, family);
    this.#members = new Map();
    this.#env.deferral()?.lost(this.#config.address);
    const negotiated = session.negotiated!;
    const mayReturn = end.reason === "lost" && this.#isHelper(negotiated);
    this.#helper.onLost(negotiated, mayReturn);
  }

  #isHelper({ gracefulRestart }: Negotiated): boolean {
    if (this.#config.gracefulRestartTime === 0 || gracefulRestart === undefined) return false;
    return gracefulRestart.restartTime > 0 && gracefulRestart.families.size > 0;
  }

  // --- what is shown

  #noteError(end: ConnectionEnd): void {
    const reason = ERROR_REASONS[end.reason];
    if (end.reason === "stopped" && end.notification === undefined) return;
    const { code, subcode } = end.notification ?? {};
    this.#lastError = {
      reason,
      at: this.#env.clock.now(),
      text: end.text,
      ...(code === undefined ? {} : { code }),
      ...(subcode === undefined ? {} : { subcode }),
    };
  }

  /** Reports the state when it is another. */
  #update(): void {
    const state = this.#visibleState();
    if (state === this.#state) return;
    const previous = this.#state;
    this.#state = state;
    this.#since = this.#env.clock.now();
    const error = state === "Established" ? undefined : this.#lastError;
    this.#env.onNeighbor({ address: this.#config.address, state, previous, since: this.#since, error });
  }

  #visibleState(): NeighborState {
    const { up, slots, waiting } = this.#fsm;
    for (const phase of ["Established", "OpenConfirm", "OpenSent", "Connect"] as const) {
      if (slots.some(slot => slot.phase === phase)) return phase;
    }
    return up && waiting !== "idle-hold" ? "Active" : "Idle";
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
