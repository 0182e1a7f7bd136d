/**
 * The life of one TCP connection: RFC 4271 8.2.2 from Connect to Established, as a reducer. Idle, Active and the question
 * when to dial belong to the neighbor, which may have two connections (neighbor-fsm.ts).
 *
 *   Connect --connected--> OpenSent --OPEN--> OpenConfirm --KEEPALIVE--> Established
 *      any --error, stop, lost--> Closed
 *
 * One thing differs from the RFC's text: after the OPEN our KEEPALIVE waits for `confirm`, the neighbor's word that no
 * other connection is to win the collision. Without that, each side can have one of two connections Established for a moment,
 * and close the other's.
 */

import { MessageError } from "../errors.ts";
import { Cease, FsmError, NotificationCode } from "../message/constants.ts";
import { describeNotification, type NotificationMessage } from "../message/notification.ts";
import type { OpenMessage } from "../message/open.ts";
import { type Negotiated, negotiate, type SessionConfig } from "./negotiation.ts";

export type ConnectionPhase = "Connect" | "OpenSent" | "OpenConfirm" | "Established" | "Closed";

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
}

export type ConnectionAction =
  | { readonly do: "send-open" }
  | { readonly do: "send-keepalive" }
  | { readonly do: "send-notification"; readonly notification: NotificationMessage }
  /** Seconds; 0 stops the timer. */
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
      return {
        state: { ...state, phase: "OpenSent" },
        actions: [{ do: "send-open" }, { do: "hold-timer", seconds: OPEN_SENT_HOLD_SECONDS }],
      };
    case "lost": {
      const reason = state.phase === "Connect" ? "connect-failed" : "lost";
      const text = event.error?.message ?? "the neighbor closed the connection";
      return closed(state, { reason, text });
    }
    case "open":
      return onOpen(state, event.open, config);
    case "confirm":
      return onConfirm(state);
    case "keepalive":
      return onKeepalive(state);
    case "update":
    case "route-refresh":
      return state.phase === "Established" ? { state, actions: NONE } : unexpected(state, event.type);
    case "notification":
      return closed(state, {
        reason: isCollision(event.notification) ? "collision" : "notification-received",
        text: describeNotification(event.notification),
        notification: event.notification,
      });
    case "invalid": {
      const { notificationCode: code, subcode, data, message } = event.error;
      return notify(state, { code, subcode, data }, message);
    }
    case "hold-expired":
      return notify(state, notification(NotificationCode.holdTimer, 0));
    case "keepalive-due":
      return { state, actions: state.confirmed ? [{ do: "send-keepalive" }] : NONE };
    case "send-hold-expired":
      // RFC 9687: the NOTIFICATION could not get out either.
      return closed(state, { reason: "send-hold-expired", text: "the neighbor has stopped reading" });
    case "stop": {
      const { notification: sent, reason = "stopped" } = event;
      const text = event.text ?? (sent === undefined ? "closed" : describeNotification(sent));
      if (sent === undefined) return closed(state, { reason, text });
      const end: ConnectionEnd = { reason, text, notification: sent };
      return closed(
        state,
        end,
        state.phase === "Connect" ? NONE : [{ do: "send-notification", notification: sent }],
      );
    }
  }
}

function onOpen(state: ConnectionState, open: OpenMessage, config: SessionConfig): ConnectionStep {
  if (state.phase !== "OpenSent") return unexpected(state, "open");
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
  if (state.phase !== "OpenConfirm") return unexpected(state, "keepalive");
  if (!state.confirmed) return { state: { ...state, keepaliveSeen: true }, actions: NONE };
  return {
    state: { ...state, keepaliveSeen: true, phase: "Established" },
    actions: [{ do: "report-established", negotiated: state.negotiated! }],
  };
}

function unexpected(state: ConnectionState, message: string): ConnectionStep {
  const subcode =
    state.phase === "Established"
      ? FsmError.unexpectedInEstablished
      : state.phase === "OpenConfirm"
        ? FsmError.unexpectedInOpenConfirm
        : FsmError.unexpectedInOpenSent;
  return notify(state, notification(NotificationCode.fsm, subcode), `${message} in ${state.phase}`);
}

function notify(state: ConnectionState, sent: NotificationMessage, detail?: string): ConnectionStep {
  const text = describeNotification(sent) + (detail === undefined ? "" : `: ${detail}`);
  return closed(state, { reason: "notification-sent", text, notification: sent }, [
    { do: "send-notification", notification: sent },
  ]);
}

function closed(
  state: ConnectionState,
  end: ConnectionEnd,
  before: readonly ConnectionAction[] = NONE,
): ConnectionStep {
  return { state: { ...state, phase: "Closed" }, actions: [...before, { do: "close", end }] };
}

function isCollision({ code, subcode }: NotificationMessage): boolean {
  return code === NotificationCode.cease && subcode === Cease.connectionCollision;
}

export function notification(
  code: number,
  subcode: number,
  data: Uint8Array = new Uint8Array(0),
): NotificationMessage {
  return { code, subcode, data };
}
