import assert from "node:assert/strict";
import type { OpenMessage } from "../../message/open.ts";
import { Family } from "../../route.ts";
import {
  type ConnectionEvent,
  type ConnectionState,
  type ConnectionStep,
  connectionStep,
  INITIAL_CONNECTION,
} from "../../session/connection-fsm.ts";
import type { SessionConfig } from "../../session/negotiation.ts";

const CONFIG: SessionConfig = {
  localAsn: 64512,
  asn: 64513,
  routerId: "10.0.0.1",
  holdTime: 90,
  keepaliveTime: undefined,
  sendHoldTime: undefined,
  families: [Family.ipv4Unicast],
  gracefulRestart: undefined,
  addPath: { receive: false, send: false },
  extendedMessages: true,
  extendedNextHop: false,
  enhancedRefresh: true,
};
const OPEN: OpenMessage = { asn: 64513, holdTime: 30, routerId: "10.0.0.2", capabilities: [] };

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

describe("a connection", () => {
  it("opens with OPEN and a large hold time", () => {
    const step = run([CONNECTED]);
    assert.equal(step.state.phase, "OpenSent");
    assert.deepEqual(step.actions, [{ do: "send-open" }, { do: "hold-timer", seconds: 240 }]);
  });
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
  it("answers what does not belong with the FSM subcode of the state (RFC 6608)", () => {
    const cases: [ConnectionEvent[], number][] = [
      [[CONNECTED, KEEPALIVE], 1],
      [[CONNECTED, { type: "update" }], 1],
      [[CONNECTED, RECEIVED_OPEN, { type: "update" }], 2],
      [[CONNECTED, RECEIVED_OPEN, CONFIRM, KEEPALIVE, RECEIVED_OPEN], 3],
    ];
    for (const [events, subcode] of cases) {
      const [send, close] = run(events).actions;
      assert.deepEqual(send, {
        do: "send-notification",
        notification: { code: 5, subcode, data: new Uint8Array(0) },
      });
      assert.equal(close?.do, "close");
    }
  });
  it("says Hold Timer Expired, and nothing after a send hold", () => {
    const established = run([CONNECTED, RECEIVED_OPEN, CONFIRM, KEEPALIVE]).state;
    const hold = run([{ type: "hold-expired" }], established).actions[0];
    assert.equal(hold?.do === "send-notification" && hold.notification.code, 4);
    assert.deepEqual(doing(run([{ type: "send-hold-expired" }], established)), ["close"]);
  });
  it("does nothing once closed", () => {
    const closed = run([CONNECTED, { type: "lost", error: undefined }]).state;
    assert.equal(closed.phase, "Closed");
    for (const event of [CONNECTED, RECEIVED_OPEN, KEEPALIVE, { type: "hold-expired" } as const]) {
      assert.deepEqual(run([event], closed).actions, []);
    }
  });
});
