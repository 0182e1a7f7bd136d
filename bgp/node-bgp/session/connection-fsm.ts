/**
 * The life of one TCP connection: RFC 4271 8.2.2 from Connect to Established, as a reducer. Idle, Active and the question
 * when to dial belong to the neighbor, which may have two connections (neighbor-fsm.ts).
 *
 *   Connect --connected--> Connected --OPEN sent--> OpenSent --OPEN--> OpenConfirm --KEEPALIVE--> Established
 *      any --error, stop, lost--> Closed
 *
 * Connected is the RFC's Connect or Active while the DelayOpenTimer runs; without DelayOpen it lasts no time.
 *
 * One thing differs from the RFC's text: after the OPEN our KEEPALIVE waits for `confirm`, the neighbor's word that no
 * other connection is to win the collision. Without that, each side can have one of two connections Established for a moment,
 * and close the other's.
 *
 * SendNOTIFICATIONwithoutOPEN is true: who sends us nonsense before our OPEN is told so.
 */

import { MessageError } from "../errors.ts";
import { Cease, FsmError, MessageType, NotificationCode, OpenError } from "../message/constants.ts";
import { describeNotification, isHardReset, type NotificationMessage } from "../message/notification.ts";
import type { OpenMessage } from "../message/open.ts";
import { onTheWire } from "./hard-reset.ts";
import { type Negotiated, negotiate, type SessionConfig } from "./negotiation.ts";

export type ConnectionPhase = "Connect" | "Connected" | "OpenSent" | "OpenConfirm" | "Established" | "Closed";

export interface ConnectionState {
  readonly phase: ConnectionPhase;
  readonly negotiated: Negotiated | undefined;
  /** Our KEEPALIVE for their OPEN is out. */
  readonly confirmed: boolean;
  /** Their KEEPALIVE for our OPEN is in. */
  readonly keepaliveSeen: boolean;
}

export type ConnectionEvent =
  | { readonly type: "connected" }
  | { readonly type: "delay-open-expired" }
  | { readonly type: "lost"; readonly error: Error | undefined }
  | { readonly type: "open"; readonly open: OpenMessage }
  | { readonly type: "confirm" }
  | { readonly type: "keepalive" }
  | { readonly type: "update" }
  | { readonly type: "route-refresh" }
  | { readonly type: "notification"; readonly notification: NotificationMessage }
  | { readonly type: "invalid"; readonly error: MessageError }
  | { readonly type: "hold-expired" }
  | { readonly type: "keepalive-due" }
  | { readonly type: "send-hold-expired" }
  | ({ readonly type: "stop" } & StopReason);

/** Why the neighbor ends a connection. Without a notification it is just closed. */
export interface StopReason {
  readonly notification?: NotificationMessage | undefined;
  /** Default `stopped`. */
  readonly reason?: EndReason;
  readonly text?: string;
  /** Nobody asked for it (AutomaticStop, Event 8): it counts against the neighbor. Default false. */
  readonly automatic?: boolean;
}

export type EndReason =
  | "connect-failed"
  | "lost"
  | "notification-sent"
  | "notification-received"
  | "send-hold-expired"
  | "collision"
  | "stopped";

export interface ConnectionEnd {
  readonly reason: EndReason;
  readonly text: string;
  readonly notification?: NotificationMessage;
  /** The rules of graceful restart apply to the neighbor's routes, where it was negotiated (RFC 4724, 8538 4). */
  readonly graceful: boolean;
  /** The ConnectRetryCounter goes up, and with it the damping (RFC 4271 8.1). */
  readonly damped: boolean;
}

export type ConnectionAction =
  | { readonly do: "send-open" }
  | { readonly do: "send-keepalive" }
  | { readonly do: "send-notification"; readonly notification: NotificationMessage }
  /** Seconds; 0 stops the timer. */
  | { readonly do: "delay-open-timer"; readonly seconds: number }
  | { readonly do: "hold-timer"; readonly seconds: number }
  | { readonly do: "keepalive-timer"; readonly seconds: number }
  /** Tell the neighbor: an acceptable OPEN has come; it answers with confirm or stop, now or later. */
  | { readonly do: "report-open"; readonly negotiated: Negotiated }
  | { readonly do: "report-established"; readonly negotiated: Negotiated }
  | { readonly do: "close"; readonly end: ConnectionEnd };

export interface ConnectionStep {
  readonly state: ConnectionState;
  readonly actions: readonly ConnectionAction[];
}

/** "A large value" (RFC 4271 8.2.2). */
const OPEN_SENT_HOLD_SECONDS = 240;
const NONE: readonly ConnectionAction[] = [];

export const INITIAL_CONNECTION: ConnectionState = {
  phase: "Connect",
  negotiated: undefined,
  confirmed: false,
  keepaliveSeen: false,
};

export function connectionStep(
  state: ConnectionState,
  event: ConnectionEvent,
  config: SessionConfig,
): ConnectionStep {
  if (state.phase === "Closed") return { state, actions: NONE };
  switch (event.type) {
    case "connected":
      if (state.phase !== "Connect") return { state, actions: NONE };
      if (config.delayOpenTime === 0) return sendOpen(state);
      return {
        state: { ...state, phase: "Connected" },
        actions: [{ do: "delay-open-timer", seconds: config.delayOpenTime }],
      };
    case "delay-open-expired":
      return state.phase === "Connected" ? sendOpen(state) : { state, actions: NONE };
    case "lost":
      return closed(state, {
        reason: state.phase === "Connect" ? "connect-failed" : "lost",
        text: event.error?.message ?? "the neighbor closed the connection",
        graceful: true,
        damped: state.phase === "OpenConfirm",
      });
    case "open":
      return onOpen(state, event.open, config);
    case "confirm":
      return onConfirm(state);
    case "keepalive":
      return onKeepalive(state);
    case "update":
      return state.phase === "Established"
        ? { state, actions: NONE }
        : unexpected(state, event.type, MessageType.update);
    case "route-refresh":
      return state.phase === "Established"
        ? { state, actions: NONE }
        : unexpected(state, event.type, MessageType.routeRefresh);
    case "notification":
      return onNotification(state, event.notification);
    case "invalid": {
      const { notificationCode: code, subcode, data, message } = event.error;
      return notify(state, { code, subcode, data }, message);
    }
    case "hold-expired":
      return notify(state, notification(NotificationCode.holdTimer, 0));
    case "keepalive-due":
      return { state, actions: state.confirmed ? [{ do: "send-keepalive" }] : NONE };
    case "send-hold-expired": {
      // RFC 9687 4.3, Event 29: the NOTIFICATION could not get out either.
      const text = "Send Hold Timer Expired: the neighbor has stopped reading";
      const graceful = state.negotiated?.gracefulRestart?.notification ?? false;
      return closed(state, { reason: "send-hold-expired", text, graceful, damped: true });
    }
    case "stop":
      return onStop(state, event);
  }
}

/** Event 12, or Events 16 and 17 without DelayOpen. */
function sendOpen(state: ConnectionState): ConnectionStep {
  return {
    state: { ...state, phase: "OpenSent" },
    actions: [{ do: "send-open" }, { do: "hold-timer", seconds: OPEN_SENT_HOLD_SECONDS }],
  };
}

/** Events 19, 20 and 22. */
function onOpen(state: ConnectionState, open: OpenMessage, config: SessionConfig): ConnectionStep {
  const isEarly = state.phase === "Connected";
  if (state.phase !== "OpenSent" && !isEarly) return unexpected(state, "open", MessageType.open);
  let negotiated: Negotiated;
  try {
    negotiated = negotiate(config, open);
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    return notify(
      state,
      { code: error.notificationCode, subcode: error.subcode, data: error.data },
      error.message,
    );
  }
  return {
    state: { ...state, phase: "OpenConfirm", negotiated },
    actions: [
      ...(isEarly ? [{ do: "delay-open-timer", seconds: 0 } as const, { do: "send-open" } as const] : []),
      { do: "hold-timer", seconds: negotiated.holdTime },
      { do: "report-open", negotiated },
    ],
  };
}

function onConfirm(state: ConnectionState): ConnectionStep {
  if (state.phase !== "OpenConfirm" || state.confirmed) return { state, actions: NONE };
  const { negotiated } = state;
  const actions: ConnectionAction[] = [
    { do: "send-keepalive" },
    { do: "keepalive-timer", seconds: negotiated!.keepaliveTime },
  ];
  if (!state.keepaliveSeen) return { state: { ...state, confirmed: true }, actions };
  actions.push({ do: "report-established", negotiated: negotiated! });
  return { state: { ...state, confirmed: true, phase: "Established" }, actions };
}

function onKeepalive(state: ConnectionState): ConnectionStep {
  if (state.phase === "Established") return { state, actions: NONE };
  if (state.phase !== "OpenConfirm") return unexpected(state, "keepalive", MessageType.keepalive);
  if (!state.confirmed) return { state: { ...state, keepaliveSeen: true }, actions: NONE };
  return {
    state: { ...state, keepaliveSeen: true, phase: "Established" },
    actions: [{ do: "report-established", negotiated: state.negotiated! }],
  };
}

/** Events 24 and 25. */
function onNotification(state: ConnectionState, received: NotificationMessage): ConnectionStep {
  const { code, subcode } = received;
  const isCease = code === NotificationCode.cease;
  const isCollision = isCease && subcode === Cease.connectionCollision;
  const isVersionError = code === NotificationCode.open && subcode === OpenError.unsupportedVersion;
  // RFC 4486 4 does not damp what the other operator does on purpose and once.
  const isReset =
    isCease && (subcode === Cease.administrativeReset || subcode === Cease.otherConfigurationChange);
  return closed(state, {
    reason: isCollision ? "collision" : "notification-received",
    text: describeNotification(received),
    notification: received,
    graceful: isGraceful(state, received),
    damped: !isCollision && !isVersionError && !isReset,
  });
}

function onStop(state: ConnectionState, why: StopReason): ConnectionStep {
  const { notification: reason, reason: end = "stopped", automatic = false } = why;
  const text = why.text ?? (reason === undefined ? "closed" : describeNotification(reason));
  if (reason === undefined) return closed(state, { reason: end, text, graceful: true, damped: automatic });
  const sent = onTheWire(reason, state.negotiated);
  return closed(
    state,
    { reason: end, text, notification: reason, graceful: isGraceful(state, sent), damped: automatic },
    // There is nobody to tell yet.
    state.phase === "Connect" ? NONE : [{ do: "send-notification", notification: sent }],
  );
}

/** RFC 6608: the data are the type of the message. It has no subcode for a message before our OPEN. */
function unexpected(state: ConnectionState, message: string, type: MessageType): ConnectionStep {
  const subcodes: Record<string, number> = {
    OpenSent: FsmError.unexpectedInOpenSent,
    OpenConfirm: FsmError.unexpectedInOpenConfirm,
    Established: FsmError.unexpectedInEstablished,
  };
  const subcode = subcodes[state.phase] ?? FsmError.unspecific;
  const error = notification(NotificationCode.fsm, subcode, Uint8Array.of(type));
  return notify(state, error, `${message} in ${state.phase}`);
}

function notify(state: ConnectionState, reason: NotificationMessage, detail?: string): ConnectionStep {
  const text = describeNotification(reason) + (detail === undefined ? "" : `: ${detail}`);
  const sent = onTheWire(reason, state.negotiated);
  return closed(
    state,
    {
      reason: "notification-sent",
      text,
      notification: reason,
      graceful: isGraceful(state, sent),
      damped: true,
    },
    [{ do: "send-notification", notification: sent }],
  );
}

function closed(
  state: ConnectionState,
  end: ConnectionEnd,
  before: readonly ConnectionAction[] = NONE,
): ConnectionStep {
  return { state: { ...state, phase: "Closed" }, actions: [...before, { do: "close", end }] };
}

/** RFC 8538 4: with both N bits any NOTIFICATION but a hard reset leaves the routes to graceful restart. */
function isGraceful({ negotiated }: ConnectionState, message: NotificationMessage): boolean {
  return (negotiated?.gracefulRestart?.notification ?? false) && !isHardReset(message);
}

export function notification(
  code: number,
  subcode: number,
  data: Uint8Array = new Uint8Array(0),
): NotificationMessage {
  return { code, subcode, data };
}
