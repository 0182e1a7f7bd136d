import assert from "node:assert/strict";
import {
  type ConnectionEvent,
  type ConnectionState,
  type ConnectionStep,
  connectionStep,
  INITIAL_CONNECTION,
  notification,
} from "../../session/connection-fsm.ts";
import type { SessionConfig } from "../../session/negotiation.ts";
import { PLAIN_OPEN, PLAIN_SESSION } from "../kit/session-config.ts";

const CONFIG: SessionConfig = { ...PLAIN_SESSION, extendedMessages: true, enhancedRefresh: true };
const OPEN = PLAIN_OPEN;

function run(events: readonly ConnectionEvent[], from: ConnectionState = INITIAL_CONNECTION): ConnectionStep {
  let step: ConnectionStep = { state: from, actions: [] };
  for (const event of events) step = connectionStep(step.state, event, CONFIG);
  return step;
}
const doing = ({ actions }: ConnectionStep) => actions.map(action => action.do);

const CONNECTED = { type: "connected" } as const;
const RECEIVED_OPEN = { type: "open", open: OPEN } as const;
const KEEPALIVE = { type: "keepalive" } as const;
const CONFIRM = { type: "confirm" } as const;

/** Beyond the table of rfc4271-fsm.test.ts. */
describe("a connection", () => {
  it("reports the OPEN and waits for the neighbor's word", () => {
    const step = run([CONNECTED, RECEIVED_OPEN]);
    assert.equal(step.state.phase, "OpenConfirm");
    assert.deepEqual(doing(step), ["hold-timer", "report-open"]);
    assert.deepEqual(step.actions[0], { do: "hold-timer", seconds: 30 });
  });
  it("is Established by their KEEPALIVE after ours, or ours after theirs", () => {
    assert.equal(run([CONNECTED, RECEIVED_OPEN, CONFIRM]).state.phase, "OpenConfirm");
    assert.equal(run([CONNECTED, RECEIVED_OPEN, KEEPALIVE]).state.phase, "OpenConfirm");
    assert.deepEqual(doing(run([CONNECTED, RECEIVED_OPEN, CONFIRM, KEEPALIVE])), ["report-established"]);
    assert.deepEqual(doing(run([CONNECTED, RECEIVED_OPEN, KEEPALIVE, CONFIRM])), [
      "send-keepalive",
      "keepalive-timer",
      "report-established",
    ]);
  });
  it("does nothing once closed", () => {
    const closed = run([CONNECTED, { type: "lost", error: undefined }]).state;
    assert.equal(closed.phase, "Closed");
    for (const event of [CONNECTED, RECEIVED_OPEN, KEEPALIVE, { type: "hold-expired" } as const]) {
      assert.deepEqual(run([event], closed).actions, []);
    }
  });
});

describe("the end of a session", () => {
  const restart = {
    restartTime: 120,
    restarting: false,
    forwardingPreserved: true,
    notification: true,
    longLivedStaleTime: {},
  };
  const GRACEFUL: SessionConfig = { ...CONFIG, gracefulRestart: restart };
  /** Established with a neighbor that has the N bit, or not. */
  const established = (notificationBit: boolean): ConnectionState => {
    const capability = {
      kind: "graceful-restart" as const,
      ...restart,
      notification: notificationBit,
      families: [],
    };
    const open: ConnectionEvent = { type: "open", open: { ...OPEN, capabilities: [capability] } };
    const step = (state: ConnectionState, event: ConnectionEvent) =>
      connectionStep(state, event, GRACEFUL).state;
    return [CONNECTED, open, CONFIRM, KEEPALIVE].reduce(step, INITIAL_CONNECTION);
  };
  const end = (event: ConnectionEvent, notificationBit: boolean) => {
    const { actions } = connectionStep(established(notificationBit), event, GRACEFUL);
    const sent = actions.find(action => action.do === "send-notification");
    const close = actions.find(action => action.do === "close");
    assert.equal(close?.do, "close");
    return {
      sent:
        sent?.do === "send-notification"
          ? `${sent.notification.code}/${sent.notification.subcode}`
          : undefined,
      graceful: close.end.graceful,
      text: close.end.text,
    };
  };
  const stop = (subcode: number): ConnectionEvent => ({
    type: "stop",
    notification: notification(6, subcode),
  });
  const received = (...message: [number, number, ...number[]]): ConnectionEvent => ({
    type: "notification",
    notification: notification(message[0], message[1], Uint8Array.from(message.slice(2))),
  });

  it("leaves the routes to graceful restart when the connection is lost, and only then (RFC 4724 4)", () => {
    assert.equal(end({ type: "lost", error: undefined }, false).graceful, true);
    for (const event of [
      stop(4),
      received(6, 4),
      { type: "hold-expired" } as const,
      { type: "send-hold-expired" } as const,
    ]) {
      assert.equal(end(event, false).graceful, false);
    }
  });
  it("with both N bits leaves them to it after a NOTIFICATION too, and a hold time that is over (RFC 8538 4)", () => {
    for (const event of [
      stop(4),
      stop(6),
      received(6, 4),
      received(3, 1),
      received(4, 0),
      { type: "hold-expired" } as const,
    ]) {
      assert.equal(end(event, true).graceful, true);
    }
  });
  it("is a hard reset where the neighbor is not expected back, or its path is broken", () => {
    for (const subcode of [1, 2, 3, 8, 10]) {
      assert.deepEqual([end(stop(subcode), true).sent, end(stop(subcode), true).graceful], ["6/9", false]);
      assert.deepEqual(
        [end(stop(subcode), false).sent, end(stop(subcode), false).graceful],
        [`6/${subcode}`, false],
      );
    }
    for (const subcode of [4, 6]) assert.equal(end(stop(subcode), true).sent, `6/${subcode}`);
  });
  it("is told by the reason inside a hard reset", () => {
    const { graceful, text } = end(received(6, 9, 6, 2, 2, 0x68, 0x69), true);
    assert.deepEqual([graceful, text], [false, "Cease/Administrative Shutdown (hi)"]);
  });
});
