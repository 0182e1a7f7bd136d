import assert from "node:assert/strict";
import { MessageError } from "../../errors.ts";
import type { Capability } from "../../message/capabilities.ts";
import type { OpenMessage } from "../../message/open.ts";
import { Family } from "../../route.ts";
import {
  type ConnectionEvent,
  type ConnectionState,
  type ConnectionStep,
  connectionStep,
  INITIAL_CONNECTION,
} from "../../session/connection-fsm.ts";
import { negotiate, openMessage, type SessionConfig } from "../../session/negotiation.ts";

const CONFIG: SessionConfig = {
  localAsn: 64512,
  asn: 64513,
  routerId: "10.0.0.1",
  holdTime: 90,
  keepaliveTime: undefined,
  sendHoldTime: undefined,
  families: [Family.ipv4Unicast],
  gracefulRestart: undefined,
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

describe("negotiation", () => {
  const refused = (open: Partial<OpenMessage>, config: Partial<SessionConfig> = {}): number | undefined => {
    try {
      negotiate({ ...CONFIG, ...config }, { ...OPEN, ...open });
    } catch (error) {
      assert.ok(error instanceof MessageError);
      return error.subcode;
    }
    return undefined;
  };

  it("refuses the wrong AS, identifier and hold time", () => {
    assert.equal(refused({ asn: 1 }), 2);
    assert.equal(refused({ routerId: "0.0.0.0" }), 3);
    assert.equal(refused({ routerId: CONFIG.routerId, asn: 64512 }, { asn: 64512 }), 3);
    assert.equal(refused({ holdTime: 1 }), 6);
    assert.equal(refused({ holdTime: 2 }), 6);
  });
  it("takes our own identifier from another AS (RFC 6286), and hold time 0", () => {
    assert.equal(refused({ routerId: CONFIG.routerId }), undefined);
    const { holdTime, keepaliveTime } = negotiate(CONFIG, { ...OPEN, holdTime: 0 });
    assert.deepEqual([holdTime, keepaliveTime], [0, 0]);
  });
  it("takes the smaller hold time and a third of it for keepalives", () => {
    const { holdTime, keepaliveTime } = negotiate(CONFIG, OPEN);
    assert.deepEqual([holdTime, keepaliveTime], [30, 10]);
    assert.equal(negotiate({ ...CONFIG, keepaliveTime: 60 }, OPEN).keepaliveTime, 10);
  });
  it("speaks the families both have; IPv4 where the neighbor says nothing", () => {
    const both = { ...CONFIG, families: Object.values(Family) };
    assert.deepEqual(negotiate(both, OPEN).families, [Family.ipv4Unicast]);
    const v6: Capability = { kind: "multiprotocol", afi: 2, safi: 1 };
    assert.deepEqual(negotiate(both, { ...OPEN, capabilities: [v6] }).families, [Family.ipv6Unicast]);
    assert.deepEqual(negotiate(CONFIG, { ...OPEN, capabilities: [v6] }).families, []);
  });
  it("keeps of graceful restart what concerns common families", () => {
    const families = [
      { afi: 1, safi: 1, forwardingPreserved: true },
      { afi: 2, safi: 1, forwardingPreserved: true },
    ];
    const capability: Capability = {
      kind: "graceful-restart",
      restarting: true,
      notification: false,
      restartTime: 9,
      families,
    };
    const { gracefulRestart } = negotiate(CONFIG, { ...OPEN, capabilities: [capability] });
    assert.deepEqual([...gracefulRestart!.families], [[Family.ipv4Unicast, true]]);
    assert.equal(gracefulRestart?.restarting, true);
  });
  it("offers what is configured, with the F bit", () => {
    const open = openMessage({
      ...CONFIG,
      gracefulRestart: { restartTime: 120, restarting: true, forwardingPreserved: true },
    });
    assert.deepEqual(open.capabilities.at(-1), {
      kind: "graceful-restart",
      restarting: true,
      notification: false,
      restartTime: 120,
      families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
    });
  });
});
