/**
 * When to dial, what to accept and which of two connections stays (RFC 4271 6.8, 8.1), as a reducer over values.
 *
 * A neighbor has any number of connections for a moment, two as a rule at start-up when both sides dial. Invariants:
 *  - at most one of them is told `confirm` without another one still able to win, so both sides keep the same one;
 *  - an Established one wins always, except against a neighbor that has restarted (RFC 4724 5);
 *  - while a connection lives nothing is dialled; when the last one ends exactly one timer is armed (or none: passive).
 *
 * Waiting is jittered throughout, so that two speakers, or a thousand, do not repeat each other's timing.
 */

import type { NeighborState } from "../neighbor.ts";
import type { EndReason } from "./connection-fsm.ts";
import { collisionWinner, isSilent, newSlot, type Slot } from "./connection-slot.ts";

export type Waiting = "nothing" | "retry" | "idle-hold";

export interface NeighborFsmState {
  readonly up: boolean;
  readonly slots: readonly Slot[];
  readonly waiting: Waiting;
  /** It stays Idle as long as configured, whatever happens. */
  readonly isHeld: boolean;
  /** Sessions that went wrong in a row (the ConnectRetryCounter): each doubles the idle hold time. */
  readonly failures: number;
}

export type NeighborFsmEvent =
  | { readonly type: "start" }
  /** The caller closes the connections; they are forgotten here. */
  | { readonly type: "stop" }
  /** The operator wants it now: a wait is cut short. */
  | { readonly type: "reset" }
  /** The way to the neighbor is there again (BFD): a wait for an error is cut short. */
  | { readonly type: "path-up" }
  | { readonly type: "retry-expired" }
  | { readonly type: "idle-hold-expired" }
  | { readonly type: "collision-wait-expired" }
  /** A dial has begun, as `dial` asked for. */
  | { readonly type: "dialled"; readonly id: number }
  | { readonly type: "connected"; readonly id: number }
  | { readonly type: "open-sent"; readonly id: number }
  | { readonly type: "incoming"; readonly id: number }
  | {
      readonly type: "open-received";
      readonly id: number;
      readonly remoteRouterId: number;
      readonly remoteAsn: number;
      readonly gracefulRestart: boolean;
      /** The R bit. */
      readonly restarting: boolean;
    }
  | { readonly type: "established"; readonly id: number }
  | {
      readonly type: "ended";
      readonly id: number;
      readonly reason: EndReason;
      /** It counts against the neighbor. */
      readonly damped: boolean;
      /** Stay Idle for exactly so long instead of damping, ms; Infinity: until the operator says otherwise. */
      readonly holdMs?: number | undefined;
    };

export type NeighborFsmAction =
  | { readonly do: "dial" }
  | { readonly do: "accept"; readonly id: number }
  | { readonly do: "refuse"; readonly id: number; readonly why: "idle" | "collision" }
  | { readonly do: "confirm"; readonly id: number }
  /**
   * `collision`: with Cease/7. Silently: `replaced`, the neighbor has restarted; `no-answer`, the dial takes too long;
   * `needless`, another connection is better off.
   */
  | {
      readonly do: "close";
      readonly id: number;
      readonly why: "collision" | "replaced" | "no-answer" | "needless";
    }
  | { readonly do: "arm"; readonly timer: "retry" | "idle-hold" | "collision-wait"; readonly ms: number }
  | { readonly do: "disarm" };

export interface NeighborFsmConfig {
  readonly passive: boolean;
  /** Seconds. */
  readonly passiveFallback: number | undefined;
  readonly connectRetryTime: number;
  readonly localRouterId: number;
  readonly localAsn: number;
}

export interface NeighborFsmInput {
  readonly config: NeighborFsmConfig;
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
}

export interface NeighborFsmStep {
  readonly state: NeighborFsmState;
  readonly actions: readonly NeighborFsmAction[];
}

export const INITIAL_NEIGHBOR: NeighborFsmState = {
  up: false,
  slots: [],
  waiting: "nothing",
  isHeld: false,
  failures: 0,
};

const IDLE_HOLD_FIRST_MS = 1_000;
const IDLE_HOLD_MAX_MS = 60_000;
/** A session that lived so long was a success: failures are forgotten. */
const STABLE_AFTER_MS = 60_000;
/** How long a losing connection waits for the OPEN of the winning one. */
const COLLISION_WAIT_MS = 2_000;
/** A second connection so soon after Established is the other half of the start-up collision, not a restart. */
const TAKEOVER_AFTER_MS = 5_000;
/** After a clean loss the neighbor is probably back at once. */
const QUICK_RETRY_MS = 1_000;

export function neighborStep(
  state: NeighborFsmState,
  event: NeighborFsmEvent,
  input: NeighborFsmInput,
): NeighborFsmStep {
  switch (event.type) {
    case "start":
      if (state.up) return { state, actions: [] };
      return dialOrWait({ ...INITIAL_NEIGHBOR, up: true }, input);
    case "stop":
      return { state: INITIAL_NEIGHBOR, actions: [{ do: "disarm" }] };
    case "path-up":
      return state.isHeld ? { state, actions: [] } : neighborStep(state, { type: "reset" }, input);
    case "reset":
      return state.waiting === "idle-hold"
        ? dialOrWait({ ...INITIAL_NEIGHBOR, up: state.up }, input)
        : { state: { ...state, failures: 0 }, actions: [] };
    case "retry-expired":
      return onRetry(state, input);
    case "idle-hold-expired":
      return dialOrWait({ ...state, waiting: "nothing", isHeld: false }, input);
    case "collision-wait-expired":
      return onCollisionWait(state);
    case "dialled":
      return {
        state: { ...state, slots: [...state.slots, newSlot(event.id, "outgoing", "Connect")] },
        actions: [],
      };
    case "connected":
      return { state: change(state, event.id, { phase: "Connected" }), actions: [] };
    case "open-sent":
      return { state: change(state, event.id, { phase: "OpenSent" }), actions: [] };
    case "incoming":
      return onIncoming(state, event.id);
    case "open-received":
      return onOpenReceived(state, event, input);
    case "established":
      return onEstablished(state, event.id, input);
    case "ended":
      return onEnded(state, event, input);
  }
}

/** The state people know; while the DelayOpenTimer runs, our dial is in Connect, theirs in Active (RFC 4271 8.2.2). */
export function visibleState({ up, slots, waiting }: NeighborFsmState): NeighborState {
  for (const phase of ["Established", "OpenConfirm", "OpenSent", "Connect"] as const) {
    if (slots.some(slot => slot.phase === phase)) return phase;
  }
  if (slots.some(({ phase, direction }) => phase === "Connected" && direction === "outgoing"))
    return "Connect";
  return up && waiting !== "idle-hold" ? "Active" : "Idle";
}

function onIncoming(state: NeighborFsmState, id: number): NeighborFsmStep {
  const refuse = (why: "idle" | "collision"): NeighborFsmStep => ({
    state,
    actions: [{ do: "refuse", id, why }],
  });
  if (!state.up || state.waiting === "idle-hold") return refuse("idle");
  const established = state.slots.find(({ phase }) => phase === "Established");
  if (established !== undefined && !established.gracefulRestart) return refuse("collision");
  const earlier = state.slots.find(
    ({ direction, phase }) => direction === "incoming" && phase !== "Established",
  );
  if (earlier?.phase === "OpenConfirm") return refuse("collision");
  const actions: NeighborFsmAction[] = [];
  let next = state;
  if (earlier !== undefined) {
    // It dials again before saying anything on the first one: the first one is dead.
    actions.push({ do: "close", id: earlier.id, why: "needless" });
    next = without(next, earlier.id);
  }
  actions.push({ do: "accept", id });
  return { state: { ...next, slots: [...next.slots, newSlot(id, "incoming", "Connected")] }, actions };
}

function onOpenReceived(
  state: NeighborFsmState,
  event: Extract<NeighborFsmEvent, { type: "open-received" }>,
  { config, now }: NeighborFsmInput,
): NeighborFsmStep {
  const { id, remoteRouterId, remoteAsn, gracefulRestart } = event;
  const next = change(state, id, { phase: "OpenConfirm", remoteRouterId, remoteAsn, gracefulRestart });
  const self = next.slots.find(slot => slot.id === id);
  if (self === undefined) return { state: next, actions: [] };
  const others = next.slots.filter(slot => slot.id !== id);
  const established = others.find(({ phase }) => phase === "Established");
  if (established !== undefined) {
    const hasRestarted = event.restarting || now - established.since >= TAKEOVER_AFTER_MS;
    if (!established.gracefulRestart || !hasRestarted) return closeLosers(next, [self]);
    return confirm(without(next, established.id), self, [
      { do: "close", id: established.id, why: "replaced" },
    ]);
  }
  const rivals = others.filter(slot => isSilent(slot) || slot.phase === "OpenConfirm");
  const winner = rivals.reduce((best, rival) => collisionWinner(best, rival, config), self);
  if (winner === self) {
    // Of our own dial it may not know yet, where it accepts slowly. Were this one Established by then, it would take
    // the other for a restart of ours (RFC 4724 5), and drop this one: bird and frr do. So it hears of both first.
    if (rivals.some(rival => rival.direction === "outgoing" && isSilent(rival))) {
      return { state: next, actions: [{ do: "arm", timer: "collision-wait", ms: COLLISION_WAIT_MS }] };
    }
    const step = closeLosers(next, rivals);
    return confirm(step.state, self, step.actions);
  }
  if (winner.phase === "OpenConfirm") {
    const step = closeLosers(next, [self]);
    return winner.confirmed ? step : confirm(step.state, winner, step.actions);
  }
  // The better one has not delivered its OPEN: it may be dead. Hold this one back for a moment.
  return { state: next, actions: [{ do: "arm", timer: "collision-wait", ms: COLLISION_WAIT_MS }] };
}

function onCollisionWait(state: NeighborFsmState): NeighborFsmStep {
  const held = state.slots.find(({ phase, confirmed }) => phase === "OpenConfirm" && !confirmed);
  if (held === undefined) return { state, actions: [] };
  const step = closeLosers(
    state,
    state.slots.filter(slot => slot !== held && isSilent(slot)),
  );
  return confirm(step.state, held, step.actions);
}

function onEstablished(state: NeighborFsmState, id: number, { now }: NeighborFsmInput): NeighborFsmStep {
  const next = change(state, id, { phase: "Established", since: now });
  const step = closeLosers(
    next,
    next.slots.filter(slot => slot.id !== id),
  );
  return { state: { ...step.state, waiting: "nothing" }, actions: [...step.actions, { do: "disarm" }] };
}

function onRetry(state: NeighborFsmState, input: NeighborFsmInput): NeighborFsmStep {
  const dialling = state.slots.find(({ phase }) => phase === "Connect");
  if (state.slots.length > (dialling === undefined ? 0 : 1)) {
    return { state: { ...state, waiting: "nothing" }, actions: [] };
  }
  if (dialling === undefined) return dial({ ...state, waiting: "nothing" }, input);
  // RFC 4271 8.2.2, Connect: give the attempt up and start another.
  const step = dial({ ...without(state, dialling.id), waiting: "nothing" }, input);
  return {
    state: step.state,
    actions: [{ do: "close", id: dialling.id, why: "no-answer" }, ...step.actions],
  };
}

function onEnded(
  state: NeighborFsmState,
  { id, reason, damped, holdMs }: Extract<NeighborFsmEvent, { type: "ended" }>,
  input: NeighborFsmInput,
): NeighborFsmStep {
  const slot = state.slots.find(other => other.id === id);
  if (slot === undefined) return { state, actions: [] };
  const next = without(state, id);
  if (next.slots.length > 0) {
    // The connection another one was held back for is gone.
    const held = next.slots.find(({ phase, confirmed }) => phase === "OpenConfirm" && !confirmed);
    return held === undefined || next.slots.some(isSilent)
      ? { state: next, actions: [] }
      : confirm(next, held, []);
  }
  if (!next.up) return { state: next, actions: [] };
  if (holdMs !== undefined) return holdIdle({ ...next, failures: 0, isHeld: true }, holdMs);
  const { config, now, random } = input;
  const wasEstablished = slot.phase === "Established";
  const wasStable = wasEstablished && now - slot.since >= STABLE_AFTER_MS;
  const before = wasStable ? 0 : next.failures;
  // A session that is lost as soon as it is up, again and again, oscillates too; once is no pattern.
  const isFlap = wasEstablished && !wasStable && reason === "lost";
  const failures = reason === "stopped" && !damped ? 0 : before + (damped || isFlap ? 1 : 0);
  const calm = { ...next, failures };
  const wasRefused = reason === "notification-received" && !wasEstablished;
  if (damped || reason === "stopped" || wasRefused || (isFlap && before > 0)) {
    const hold = IDLE_HOLD_FIRST_MS * 2 ** Math.min(Math.max(failures - 1, 0), 16);
    return holdIdle(calm, Math.min(IDLE_HOLD_MAX_MS, hold) * (0.75 + random * 0.25));
  }
  if (config.passive) return dialOrWait(calm, input);
  const isQuick = wasEstablished || reason === "collision";
  const ceiling = config.connectRetryTime * 1000;
  const ms = isQuick
    ? Math.min(QUICK_RETRY_MS, ceiling) * (0.1 + random * 0.9)
    : ceiling * (0.75 + random * 0.25);
  return { state: { ...calm, waiting: "retry" }, actions: [{ do: "arm", timer: "retry", ms }] };
}

function holdIdle(state: NeighborFsmState, ms: number): NeighborFsmStep {
  const actions: NeighborFsmAction[] = Number.isFinite(ms)
    ? [{ do: "arm", timer: "idle-hold", ms }]
    : [{ do: "disarm" }];
  return { state: { ...state, waiting: "idle-hold" }, actions };
}

function dialOrWait(state: NeighborFsmState, input: NeighborFsmInput): NeighborFsmStep {
  if (!input.config.passive) return dial(state, input);
  const { passiveFallback } = input.config;
  if (passiveFallback === undefined) return { state: { ...state, waiting: "nothing" }, actions: [] };
  const ms = passiveFallback * 1000 * (0.75 + input.random * 0.25);
  return { state: { ...state, waiting: "retry" }, actions: [{ do: "arm", timer: "retry", ms }] };
}

function dial(state: NeighborFsmState, { config, random }: NeighborFsmInput): NeighborFsmStep {
  if (!state.up) return { state, actions: [] };
  // The timer also bounds the attempt itself.
  const ms = config.connectRetryTime * 1000 * (0.75 + random * 0.25);
  return {
    state: { ...state, waiting: "retry" },
    actions: [{ do: "arm", timer: "retry", ms }, { do: "dial" }],
  };
}

/** Our KEEPALIVE commits us, so an attempt that has not connected yet must not turn up as a rival later. */
function confirm(state: NeighborFsmState, slot: Slot, before: readonly NeighborFsmAction[]): NeighborFsmStep {
  const dialling = state.slots.filter(({ phase }) => phase === "Connect");
  const next = dialling.reduce(
    (kept, { id }) => without(kept, id),
    change(state, slot.id, { confirmed: true }),
  );
  return {
    state: next,
    actions: [
      ...before,
      ...dialling.map(({ id }): NeighborFsmAction => ({ do: "close", id, why: "needless" })),
      { do: "confirm", id: slot.id },
    ],
  };
}

function closeLosers(state: NeighborFsmState, losers: readonly Slot[]): NeighborFsmStep {
  return {
    state: losers.reduce((kept, { id }) => without(kept, id), state),
    actions: losers.map(({ id }): NeighborFsmAction => ({ do: "close", id, why: "collision" })),
  };
}

function change(state: NeighborFsmState, id: number, part: Partial<Slot>): NeighborFsmState {
  return { ...state, slots: state.slots.map(slot => (slot.id === id ? { ...slot, ...part } : slot)) };
}

function without(state: NeighborFsmState, id: number): NeighborFsmState {
  return { ...state, slots: state.slots.filter(slot => slot.id !== id) };
}
