/**
 * One BFD session (RFC 5880 6.8) as a reducer over values, asynchronous mode.
 *
 *   Down --hears Down--> Init --hears Init, Up--> Up        Down --hears Init--> Up
 *   Init, Up --nothing heard for the detection time--> Down        Up --hears Down--> Down        any --hears AdminDown--> Down
 *
 * A session carries its two deadlines, `transmitAt` and `detectAt`; its owner calls with `wake` when the earlier one has come. Invariants:
 *  - while not Up we announce a transmit interval of one second at least (6.8.3);
 *  - a packet never has both Poll and Final (6.5); periodic packets alone carry Poll;
 *  - nothing periodic is sent to a neighbor that wants nothing (Required Min RX 0), or is in demand mode and Up (6.8.7).
 *
 * All times and intervals are microseconds, as on the wire.
 */

import { Diagnostic, SessionState } from "./constants.ts";
import type { ControlPacket } from "./control-packet.ts";
import type { Remote, Session, SessionConfig, SessionInput } from "./session.ts";
import {
  announce,
  detectionTime,
  endPoll,
  jittered,
  measureTime,
  reschedule,
  transmitInterval,
} from "./session-timers.ts";

export type SessionEvent =
  /** `transmitAt` or `detectAt` has come. */
  | { readonly type: "wake" }
  /** A packet for this session that has passed all checks. */
  | { readonly type: "received"; readonly packet: ControlPacket }
  | { readonly type: "configure"; readonly config: SessionConfig };

/** Why the state changed. */
export type SessionCause =
  | "handshake"
  | "detection-expired"
  | "neighbor-down"
  | "neighbor-admin-down"
  | "admin-down"
  | "admin-up";

export type SessionAction =
  | { readonly do: "send"; readonly packet: ControlPacket }
  | { readonly do: "report"; readonly previous: SessionState; readonly cause: SessionCause };

export interface SessionStep {
  readonly session: Session;
  readonly actions: readonly SessionAction[];
}

/** 6.8.3: the least we may announce, and keep to, while not Up. */
const SLOW_INTERVAL = 1_000_000;

/** 6.8.1: before anything has been heard. */
const NOTHING_HEARD: Remote = {
  discriminator: 0,
  state: SessionState.down,
  diagnostic: Diagnostic.none,
  desiredMinTx: 0,
  minRx: 1,
  multiplier: 0,
  demand: false,
  controlPlaneIndependent: false,
};

const NOTHING: readonly SessionAction[] = [];

export function newSession(localDiscriminator: number, config: SessionConfig, now: number): Session {
  const desiredMinTx = Math.max(config.minTx, SLOW_INTERVAL);
  return {
    config,
    state: config.adminDown ? SessionState.adminDown : SessionState.down,
    diagnostic: config.adminDown ? Diagnostic.administrativelyDown : Diagnostic.none,
    localDiscriminator,
    remote: NOTHING_HEARD,
    desiredMinTx,
    requiredMinRx: config.minRx,
    usedMinTx: desiredMinTx,
    usedMinRx: config.minRx,
    poll: "idle",
    pollsSent: 0,
    polledAt: 0,
    measureAt: Number.POSITIVE_INFINITY,
    interval: desiredMinTx,
    sentAt: now - desiredMinTx,
    transmitAt: now,
    detectAt: Number.POSITIVE_INFINITY,
    roundTrip: 0,
    smoothedRoundTrip: 0,
  };
}

/**
 * A session that was Up when the thread that ran it died: it goes on as if nothing had been, with a full detection time ahead. The neighbor
 * sees a gap of some packets. A Poll Sequence makes sure that it knows our timers, which may have changed at the wrong moment.
 */
export function resumedSession(
  localDiscriminator: number,
  config: SessionConfig,
  remote: Remote,
  now: number,
): Session {
  const resumed: Session = {
    ...newSession(localDiscriminator, config, now),
    state: SessionState.up,
    diagnostic: Diagnostic.none,
    remote,
    desiredMinTx: config.minTx,
    usedMinTx: config.minTx,
    poll: "active",
    measureAt: measureTime(config, now),
  };
  return { ...resumed, interval: transmitInterval(resumed), detectAt: now + detectionTime(resumed) };
}

export function sessionStep(session: Session, event: SessionEvent, input: SessionInput): SessionStep {
  switch (event.type) {
    case "wake":
      return onWake(session, input);
    case "received":
      return onReceived(session, event.packet, input);
    case "configure":
      return onConfigure(session, event.config, input);
  }
}

/** When the owner has to come back. */
export function nextDeadline({ transmitAt, detectAt }: Session): number {
  return Math.min(transmitAt, detectAt);
}

function onWake(session: Session, input: SessionInput): SessionStep {
  if (input.now >= session.detectAt) {
    const silent = forgetNeighbor(session);
    if (session.state === SessionState.init || session.state === SessionState.up) {
      return change(silent, SessionState.down, Diagnostic.detectionTimeExpired, "detection-expired", input);
    }
    // 6.8.1: a discriminator that has not been heard for so long is forgotten, as a neighbor that restarts has another.
    return { session: reschedule(silent, input), actions: NOTHING };
  }
  if (input.now < session.transmitAt) return { session, actions: NOTHING };
  const { state, poll, measureAt, config } = session;
  const measures = state === SessionState.up && poll === "idle" && input.now >= measureAt;
  const due: Session = measures
    ? { ...session, poll: "active", pollsSent: 0, measureAt: input.now + config.pollInterval }
    : session;
  return transmit(due, input);
}

function onReceived(before: Session, packet: ControlPacket, input: SessionInput): SessionStep {
  const remote: Remote = {
    discriminator: packet.myDiscriminator,
    state: packet.state,
    diagnostic: packet.diagnostic,
    desiredMinTx: packet.desiredMinTx,
    minRx: packet.requiredMinRx,
    multiplier: packet.multiplier,
    demand: packet.demand,
    controlPlaneIndependent: packet.controlPlaneIndependent,
  };
  let session: Session = { ...before, remote };
  if (packet.final) session = endPoll(session, input);
  // 6.8.6: nothing more is done with a packet while we are shut down, not even a Poll answered.
  if (session.state === SessionState.adminDown) {
    return { session: reschedule(session, input), actions: NOTHING };
  }
  const next = transition(session.state, packet.state);
  const actions: SessionAction[] = [];
  if (next !== undefined) {
    const diagnostic =
      next.state === SessionState.up ? Diagnostic.none : (next.diagnostic ?? session.diagnostic);
    session = enter(session, next.state, diagnostic, input);
    actions.push({ do: "report", previous: before.state, cause: next.cause });
  }
  session = reschedule({ ...session, detectAt: input.now + detectionTime(session) }, input);
  if (packet.poll) {
    // At once, whatever the transmit timer says, and without touching it (6.5). It also tells the neighbor our new state.
    actions.push({ do: "send", packet: packetOf(session, { final: true }) });
  } else if (next !== undefined) {
    const sent = transmit(session, input);
    return { session: sent.session, actions: [...actions, ...sent.actions] };
  }
  return { session, actions: actions.length === 0 ? NOTHING : actions };
}

/** Also ends a Poll Sequence: there is nobody to answer. */
function forgetNeighbor(session: Session): Session {
  const { desiredMinTx: usedMinTx, requiredMinRx: usedMinRx } = session;
  const detectAt = Number.POSITIVE_INFINITY;
  return { ...session, remote: NOTHING_HEARD, poll: "idle", pollsSent: 0, usedMinTx, usedMinRx, detectAt };
}

interface Transition {
  readonly state: SessionState;
  readonly diagnostic?: number;
  readonly cause: SessionCause;
}

/** 6.8.6: what hearing `heard` makes of `state`; undefined: nothing. */
function transition(state: SessionState, heard: SessionState): Transition | undefined {
  const diagnostic = Diagnostic.neighborSignaledDown;
  if (heard === SessionState.adminDown) {
    if (state === SessionState.down) return undefined;
    return { state: SessionState.down, diagnostic, cause: "neighbor-admin-down" };
  }
  switch (state) {
    case SessionState.down:
      if (heard === SessionState.down) return { state: SessionState.init, cause: "handshake" };
      if (heard === SessionState.init) return { state: SessionState.up, cause: "handshake" };
      return undefined;
    case SessionState.init:
      return heard === SessionState.down ? undefined : { state: SessionState.up, cause: "handshake" };
    case SessionState.up:
      if (heard !== SessionState.down) return undefined;
      return { state: SessionState.down, diagnostic, cause: "neighbor-down" };
    default:
      return undefined;
  }
}

function onConfigure(before: Session, config: SessionConfig, input: SessionInput): SessionStep {
  const session: Session = { ...before, config };
  if (config.adminDown && before.state !== SessionState.adminDown) {
    return change(session, SessionState.adminDown, Diagnostic.administrativelyDown, "admin-down", input);
  }
  if (!config.adminDown && before.state === SessionState.adminDown) {
    // What was heard meanwhile was not watched over: begin as if nothing had been.
    return change(forgetNeighbor(session), SessionState.down, Diagnostic.none, "admin-up", input);
  }
  const isUp = session.state === SessionState.up;
  const timed = announce(session, isUp ? config.minTx : Math.max(config.minTx, SLOW_INTERVAL), config.minRx);
  const measureAt = isUp ? measureTime(config, input.now) : timed.measureAt;
  return { session: reschedule({ ...timed, measureAt }, input), actions: NOTHING };
}

/** A change of state that the neighbor is told at once (6.8.7). */
function change(
  session: Session,
  state: SessionState,
  diagnostic: number,
  cause: SessionCause,
  input: SessionInput,
): SessionStep {
  const entered = reschedule(enter(session, state, diagnostic, input), input);
  const sent = transmit(entered, input);
  return {
    session: sent.session,
    actions: [{ do: "report", previous: session.state, cause }, ...sent.actions],
  };
}

function enter(before: Session, state: SessionState, diagnostic: number, input: SessionInput): Session {
  const { config } = before;
  const isUp = state === SessionState.up;
  const session: Session = {
    ...before,
    state,
    diagnostic,
    measureAt: isUp ? measureTime(config, input.now) : Number.POSITIVE_INFINITY,
    detectAt: state === SessionState.adminDown ? Number.POSITIVE_INFINITY : before.detectAt,
  };
  const timed = announce(session, isUp ? config.minTx : Math.max(config.minTx, SLOW_INTERVAL), config.minRx);
  if (isUp) return timed;
  // Nothing is held back for a neighbor that no longer relies on us.
  return { ...timed, usedMinTx: timed.desiredMinTx, usedMinRx: timed.requiredMinRx };
}

/** A packet that is not a Final; the next one follows an interval later. */
function transmit(session: Session, input: SessionInput): SessionStep {
  const polls = session.poll !== "idle";
  const sent: Session = {
    ...session,
    pollsSent: polls ? session.pollsSent + 1 : 0,
    polledAt: polls ? input.now : session.polledAt,
    sentAt: input.now,
    transmitAt: input.now + jittered(session.interval, session, input),
  };
  return { session: sent, actions: [{ do: "send", packet: packetOf(session, { final: false }) }] };
}

function packetOf(session: Session, { final }: { final: boolean }): ControlPacket {
  return {
    diagnostic: session.diagnostic,
    state: session.state,
    poll: !final && session.poll !== "idle",
    final,
    // We die with the control plane: no forwarding hardware sends these packets for us.
    controlPlaneIndependent: false,
    authenticated: false,
    demand: false,
    multiplier: session.config.multiplier,
    myDiscriminator: session.localDiscriminator,
    yourDiscriminator: session.remote.discriminator,
    desiredMinTx: session.desiredMinTx,
    requiredMinRx: session.requiredMinRx,
    // No echo function: the neighbor must not send any (6.4).
    requiredMinEchoRx: 0,
  };
}
