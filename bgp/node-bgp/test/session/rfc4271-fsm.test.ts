/**
 * RFC 4271 8.2.2 as a table: state, event by its number, what is done, and the state after. One connection is the subject of the first
 * part (Connect to Established), the neighbor with its dialling of the second (Idle, Connect, Active).
 *
 * Events 1 to 8 are what the operator and the speaker want, 9 to 13 timers, 14 to 18 the TCP connection, 19 to 28 messages, 29 is RFC 9687's.
 * Not there: 6 and 7 (damping is done by the idle hold time alone), 14 and 15 (the kernel's business). A message out of place is a Finite
 * State Machine Error with the subcode of RFC 6608. Where the table differs from the text on purpose: a timer that does not run cannot expire,
 * so 11 and 12 out of place are nothing (text: FSM Error); the loser of a collision (23) is not to blame for it, nor damped; a session lost
 * when Established (18) is dialled again quickly once, and damped when it happens again within a minute (in the neighbor's part).
 */

import assert from "node:assert/strict";
import { MessageError } from "../../errors.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../../message/open.ts";
import {
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  connectionStep,
  INITIAL_CONNECTION,
  notification,
} from "../../session/connection-fsm.ts";
import type { SessionConfig } from "../../session/negotiation.ts";
import {
  INITIAL_NEIGHBOR,
  type NeighborFsmAction,
  type NeighborFsmConfig,
  type NeighborFsmEvent,
  type NeighborFsmState,
  neighborStep,
} from "../../session/neighbor-fsm.ts";
import { PLAIN_OPEN, PLAIN_SESSION } from "../kit/session-config.ts";

const CONFIG: SessionConfig = { ...PLAIN_SESSION, delayOpenTime: 7 };
const OPEN = PLAIN_OPEN;
const WRONG_AS: OpenMessage = { ...OPEN, asn: 1 };

/** The events that can happen to one connection, by their numbers in section 8.1. */
const EVENTS = {
  "2 ManualStop": { type: "stop", notification: notification(6, 2) },
  "8 AutomaticStop": { type: "stop", notification: notification(6, 8), automatic: true },
  "10 HoldTimer_Expires": { type: "hold-expired" },
  "11 KeepaliveTimer_Expires": { type: "keepalive-due" },
  "12 DelayOpenTimer_Expires": { type: "delay-open-expired" },
  "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": { type: "connected" },
  "18 TcpConnectionFails": { type: "lost", error: undefined },
  "19/20 BGPOpen": { type: "open", open: OPEN },
  "21 BGPHeaderErr": { type: "invalid", error: new MessageError(1, 2, "length 18", Uint8Array.of(0, 18)) },
  "22 BGPOpenMsgErr": { type: "open", open: WRONG_AS },
  "23 OpenCollisionDump": { type: "stop", notification: notification(6, 7), reason: "collision" },
  "24 NotifMsgVerErr": { type: "notification", notification: notification(2, 1) },
  "25 NotifMsg": { type: "notification", notification: notification(6, 2) },
  "26 KeepAliveMsg": { type: "keepalive" },
  "27 UpdateMsg": { type: "update" },
  "28 UpdateMsgErr": { type: "invalid", error: new MessageError(3, 1, "cut off") },
  "29 SendHoldTimer_Expires": { type: "send-hold-expired" },
  "ROUTE-REFRESH": { type: "route-refresh" },
} as const satisfies Record<string, ConnectionEvent>;
type EventName = keyof typeof EVENTS;

const before = (...events: ConnectionEvent[]): ConnectionState =>
  events.reduce((state, event) => connectionStep(state, event, CONFIG).state, INITIAL_CONNECTION);
const TO_OPEN_SENT = [
  EVENTS["16/17 Tcp_CR_Acked/TcpConnectionConfirmed"],
  EVENTS["12 DelayOpenTimer_Expires"],
];
const TO_OPEN_CONFIRM = [...TO_OPEN_SENT, EVENTS["19/20 BGPOpen"], { type: "confirm" } as const];

const STATES = {
  Connect: before(),
  "Connect or Active, DelayOpenTimer running": before(TO_OPEN_SENT[0]!),
  OpenSent: before(...TO_OPEN_SENT),
  OpenConfirm: before(...TO_OPEN_CONFIRM),
  Established: before(...TO_OPEN_CONFIRM, EVENTS["26 KeepAliveMsg"]),
} as const;

/** What is done, as the RFC says it; `+1` where the ConnectRetryCounter goes up. */
function told(actions: readonly ConnectionAction[]): string {
  return actions.map(toldOne).join(", ");
}

function toldOne(action: ConnectionAction): string {
  switch (action.do) {
    case "send-open":
      return "OPEN";
    case "send-keepalive":
      return "KEEPALIVE";
    case "send-notification":
      return `NOTIFICATION ${action.notification.code}/${action.notification.subcode}`;
    case "delay-open-timer":
      return `DelayOpenTimer ${action.seconds}`;
    case "hold-timer":
      return `HoldTimer ${action.seconds}`;
    case "keepalive-timer":
      return `KeepaliveTimer ${action.seconds}`;
    case "report-open":
      return "detect collision";
    case "report-established":
      return "Established";
    case "close":
      return `close${action.end.damped ? " +1" : ""}`;
  }
}

const IGNORED = "";
const TABLE: Record<keyof typeof STATES, Record<EventName, [doing: string, to: string]>> = {
  Connect: {
    "2 ManualStop": ["close", "Closed"],
    "8 AutomaticStop": ["close +1", "Closed"],
    "10 HoldTimer_Expires": ["NOTIFICATION 4/0, close +1", "Closed"],
    "11 KeepaliveTimer_Expires": [IGNORED, "Connect"],
    "12 DelayOpenTimer_Expires": [IGNORED, "Connect"],
    "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": ["DelayOpenTimer 7", "Connected"],
    "18 TcpConnectionFails": ["close", "Closed"],
    "19/20 BGPOpen": ["NOTIFICATION 5/0, close +1", "Closed"],
    "21 BGPHeaderErr": ["NOTIFICATION 1/2, close +1", "Closed"],
    "22 BGPOpenMsgErr": ["NOTIFICATION 5/0, close +1", "Closed"],
    "23 OpenCollisionDump": ["close", "Closed"],
    "24 NotifMsgVerErr": ["close", "Closed"],
    "25 NotifMsg": ["close +1", "Closed"],
    "26 KeepAliveMsg": ["NOTIFICATION 5/0, close +1", "Closed"],
    "27 UpdateMsg": ["NOTIFICATION 5/0, close +1", "Closed"],
    "28 UpdateMsgErr": ["NOTIFICATION 3/1, close +1", "Closed"],
    "29 SendHoldTimer_Expires": ["close +1", "Closed"],
    "ROUTE-REFRESH": ["NOTIFICATION 5/0, close +1", "Closed"],
  },
  "Connect or Active, DelayOpenTimer running": {
    "2 ManualStop": ["NOTIFICATION 6/2, close", "Closed"],
    "8 AutomaticStop": ["NOTIFICATION 6/8, close +1", "Closed"],
    "10 HoldTimer_Expires": ["NOTIFICATION 4/0, close +1", "Closed"],
    "11 KeepaliveTimer_Expires": [IGNORED, "Connected"],
    "12 DelayOpenTimer_Expires": ["OPEN, HoldTimer 240", "OpenSent"],
    "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": [IGNORED, "Connected"],
    "18 TcpConnectionFails": ["close", "Closed"],
    "19/20 BGPOpen": ["DelayOpenTimer 0, OPEN, HoldTimer 30, detect collision", "OpenConfirm"],
    "21 BGPHeaderErr": ["NOTIFICATION 1/2, close +1", "Closed"],
    "22 BGPOpenMsgErr": ["NOTIFICATION 2/2, close +1", "Closed"],
    "23 OpenCollisionDump": ["NOTIFICATION 6/7, close", "Closed"],
    "24 NotifMsgVerErr": ["close", "Closed"],
    "25 NotifMsg": ["close +1", "Closed"],
    "26 KeepAliveMsg": ["NOTIFICATION 5/0, close +1", "Closed"],
    "27 UpdateMsg": ["NOTIFICATION 5/0, close +1", "Closed"],
    "28 UpdateMsgErr": ["NOTIFICATION 3/1, close +1", "Closed"],
    "29 SendHoldTimer_Expires": ["close +1", "Closed"],
    "ROUTE-REFRESH": ["NOTIFICATION 5/0, close +1", "Closed"],
  },
  OpenSent: {
    "2 ManualStop": ["NOTIFICATION 6/2, close", "Closed"],
    "8 AutomaticStop": ["NOTIFICATION 6/8, close +1", "Closed"],
    "10 HoldTimer_Expires": ["NOTIFICATION 4/0, close +1", "Closed"],
    "11 KeepaliveTimer_Expires": [IGNORED, "OpenSent"],
    "12 DelayOpenTimer_Expires": [IGNORED, "OpenSent"],
    "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": [IGNORED, "OpenSent"],
    "18 TcpConnectionFails": ["close", "Closed"],
    "19/20 BGPOpen": ["HoldTimer 30, detect collision", "OpenConfirm"],
    "21 BGPHeaderErr": ["NOTIFICATION 1/2, close +1", "Closed"],
    "22 BGPOpenMsgErr": ["NOTIFICATION 2/2, close +1", "Closed"],
    "23 OpenCollisionDump": ["NOTIFICATION 6/7, close", "Closed"],
    "24 NotifMsgVerErr": ["close", "Closed"],
    "25 NotifMsg": ["close +1", "Closed"],
    "26 KeepAliveMsg": ["NOTIFICATION 5/1, close +1", "Closed"],
    "27 UpdateMsg": ["NOTIFICATION 5/1, close +1", "Closed"],
    "28 UpdateMsgErr": ["NOTIFICATION 3/1, close +1", "Closed"],
    "29 SendHoldTimer_Expires": ["close +1", "Closed"],
    "ROUTE-REFRESH": ["NOTIFICATION 5/1, close +1", "Closed"],
  },
  OpenConfirm: {
    "2 ManualStop": ["NOTIFICATION 6/2, close", "Closed"],
    "8 AutomaticStop": ["NOTIFICATION 6/8, close +1", "Closed"],
    "10 HoldTimer_Expires": ["NOTIFICATION 4/0, close +1", "Closed"],
    "11 KeepaliveTimer_Expires": ["KEEPALIVE", "OpenConfirm"],
    "12 DelayOpenTimer_Expires": [IGNORED, "OpenConfirm"],
    "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": [IGNORED, "OpenConfirm"],
    "18 TcpConnectionFails": ["close +1", "Closed"],
    "19/20 BGPOpen": ["NOTIFICATION 5/2, close +1", "Closed"],
    "21 BGPHeaderErr": ["NOTIFICATION 1/2, close +1", "Closed"],
    "22 BGPOpenMsgErr": ["NOTIFICATION 5/2, close +1", "Closed"],
    "23 OpenCollisionDump": ["NOTIFICATION 6/7, close", "Closed"],
    "24 NotifMsgVerErr": ["close", "Closed"],
    "25 NotifMsg": ["close +1", "Closed"],
    "26 KeepAliveMsg": ["Established", "Established"],
    "27 UpdateMsg": ["NOTIFICATION 5/2, close +1", "Closed"],
    "28 UpdateMsgErr": ["NOTIFICATION 3/1, close +1", "Closed"],
    "29 SendHoldTimer_Expires": ["close +1", "Closed"],
    "ROUTE-REFRESH": ["NOTIFICATION 5/2, close +1", "Closed"],
  },
  Established: {
    "2 ManualStop": ["NOTIFICATION 6/2, close", "Closed"],
    "8 AutomaticStop": ["NOTIFICATION 6/8, close +1", "Closed"],
    "10 HoldTimer_Expires": ["NOTIFICATION 4/0, close +1", "Closed"],
    "11 KeepaliveTimer_Expires": ["KEEPALIVE", "Established"],
    "12 DelayOpenTimer_Expires": [IGNORED, "Established"],
    "16/17 Tcp_CR_Acked/TcpConnectionConfirmed": [IGNORED, "Established"],
    "18 TcpConnectionFails": ["close", "Closed"],
    "19/20 BGPOpen": ["NOTIFICATION 5/3, close +1", "Closed"],
    "21 BGPHeaderErr": ["NOTIFICATION 1/2, close +1", "Closed"],
    "22 BGPOpenMsgErr": ["NOTIFICATION 5/3, close +1", "Closed"],
    "23 OpenCollisionDump": ["NOTIFICATION 6/7, close", "Closed"],
    "24 NotifMsgVerErr": ["close", "Closed"],
    "25 NotifMsg": ["close +1", "Closed"],
    "26 KeepAliveMsg": [IGNORED, "Established"],
    "27 UpdateMsg": [IGNORED, "Established"],
    "28 UpdateMsgErr": ["NOTIFICATION 3/1, close +1", "Closed"],
    "29 SendHoldTimer_Expires": ["close +1", "Closed"],
    "ROUTE-REFRESH": [IGNORED, "Established"],
  },
};

describe("RFC 4271 8.2.2, one connection", () => {
  for (const [name, rows] of Object.entries(TABLE)) {
    describe(name, () => {
      for (const [event, [doing, to]] of Object.entries(rows)) {
        it(`${event}: ${doing || "nothing"}, ${to}`, () => {
          const state = STATES[name as keyof typeof STATES];
          const step = connectionStep(state, EVENTS[event as EventName], CONFIG);
          assert.deepEqual([told(step.actions), step.state.phase], [doing, to]);
        });
      }
    });
  }

  it("sends the OPEN at once where DelayOpen is false", () => {
    const { state, actions } = connectionStep(
      INITIAL_CONNECTION,
      { type: "connected" },
      {
        ...CONFIG,
        delayOpenTime: 0,
      },
    );
    assert.deepEqual([told(actions), state.phase], ["OPEN, HoldTimer 240", "OpenSent"]);
  });
  it("sends the KEEPALIVE for the OPEN when the collision is decided, and starts the KeepaliveTimer", () => {
    const received = before(...TO_OPEN_SENT, EVENTS["19/20 BGPOpen"]);
    const { state, actions } = connectionStep(received, { type: "confirm" }, CONFIG);
    assert.deepEqual([told(actions), state.phase], ["KEEPALIVE, KeepaliveTimer 10", "OpenConfirm"]);
  });
  it("starts neither timer where the hold time is 0", () => {
    const zero: ConnectionEvent = { type: "open", open: { ...OPEN, holdTime: 0 } };
    const opened = connectionStep(before(...TO_OPEN_SENT), zero, CONFIG);
    assert.equal(told(opened.actions), "HoldTimer 0, detect collision");
    assert.equal(
      told(connectionStep(opened.state, { type: "confirm" }, CONFIG).actions),
      "KEEPALIVE, KeepaliveTimer 0",
    );
  });
  it("names the type of an unexpected message (RFC 6608)", () => {
    for (const [event, type] of [
      ["19/20 BGPOpen", 1],
      ["27 UpdateMsg", 2],
      ["26 KeepAliveMsg", 4],
      ["ROUTE-REFRESH", 5],
    ] as const) {
      const state = event === "19/20 BGPOpen" ? STATES.OpenConfirm : STATES.OpenSent;
      const [sent] = connectionStep(state, EVENTS[event], CONFIG).actions;
      assert.deepEqual(sent?.do === "send-notification" && [...sent.notification.data], [type]);
    }
  });
});

describe("RFC 4271 6.2, an OPEN that is wrong", () => {
  const answer = (change: (body: Uint8Array) => void, config: Partial<SessionConfig> = {}): string => {
    const body = encodeOpen(OPEN);
    change(body);
    let event: ConnectionEvent;
    try {
      event = { type: "open", open: decodeOpen(body) };
    } catch (error) {
      assert.ok(error instanceof MessageError);
      event = { type: "invalid", error };
    }
    const [sent] = connectionStep(STATES.OpenSent, event, { ...CONFIG, ...config }).actions;
    assert.equal(sent?.do, "send-notification");
    const { code, subcode, data } = sent.notification;
    return `${code}/${subcode} ${Buffer.from(data).toString("hex")}`.trim();
  };
  const cases: [what: string, change: (body: Uint8Array) => void, expected: string][] = [
    ["version 5", body => body.fill(5, 0, 1), "2/1 0004"],
    ["version 3", body => body.fill(3, 0, 1), "2/1 0004"],
    ["another AS", body => body.set([0xfb, 0xff], 1), "2/2"],
    ["hold time 1", body => body.set([0, 1], 3), "2/6"],
    ["hold time 2", body => body.set([0, 2], 3), "2/6"],
    ["identifier 0.0.0.0", body => body.set([0, 0, 0, 0], 5), "2/3"],
  ];
  for (const [what, change, expected] of cases) {
    it(`${what}: ${expected}`, () => assert.equal(answer(change), expected));
  }
  it("our own identifier from our own AS: 2/3 (RFC 6286)", () => {
    const own = (body: Uint8Array) => body.set([10, 0, 0, 1], 5);
    assert.equal(answer(own, { localAsn: 64513 }), "2/3");
  });
});

describe("RFC 4271 8.2.2, the neighbor", () => {
  const DEFAULTS: NeighborFsmConfig = {
    passive: false,
    passiveFallback: undefined,
    connectRetryTime: 120,
    localRouterId: 1,
    localAsn: 64512,
  };
  const step = (state: NeighborFsmState, event: NeighborFsmEvent, config: Partial<NeighborFsmConfig> = {}) =>
    neighborStep(state, event, { config: { ...DEFAULTS, ...config }, now: 0, random: 1 });
  const after = (events: readonly NeighborFsmEvent[], config: Partial<NeighborFsmConfig> = {}) =>
    events.reduce((state, event) => step(state, event, config).state, INITIAL_NEIGHBOR);
  const shown = (actions: readonly NeighborFsmAction[]) =>
    actions
      .map(action => (action.do === "arm" ? `${action.timer} ${action.ms / 1000}` : action.do))
      .join(", ");

  const START = { type: "start" } as const;
  const passive = { passive: true, passiveFallback: 60 };
  const IDLE = INITIAL_NEIGHBOR;
  const CONNECT = after([START, { type: "dialled", id: 1 }]);
  const ACTIVE = after([START], passive);
  const lost = (damped: boolean) => ({ type: "ended", id: 1, reason: "lost", damped }) as const;

  it("Idle, 1/3 ManualStart: starts the ConnectRetryTimer and dials", () => {
    assert.equal(shown(step(IDLE, START).actions), "retry 120, dial");
  });
  it("Idle, 4/5 with PassiveTcpEstablishment: waits, as long as the fallback says", () => {
    assert.equal(shown(step(IDLE, START, passive).actions), "retry 60");
    assert.equal(shown(step(IDLE, START, { passive: true }).actions), "");
  });
  it("Idle, 2/8 stop: nothing, and no connection is taken", () => {
    assert.deepEqual(step(IDLE, { type: "stop" }).state, IDLE);
    assert.equal(shown(step(IDLE, { type: "incoming", id: 1 }).actions), "refuse");
  });
  it("Idle, 13 IdleHoldTimer_Expires: starts again", () => {
    const held = after([START, { type: "dialled", id: 1 }, { ...lost(true), reason: "notification-sent" }]);
    assert.equal(held.waiting, "idle-hold");
    assert.equal(held.failures, 1);
    assert.equal(shown(step(held, { type: "idle-hold-expired" }).actions), "retry 120, dial");
  });
  it("any other state, 1/3-5 start: ignored", () => {
    for (const state of [CONNECT, ACTIVE]) assert.deepEqual(step(state, START), { state, actions: [] });
  });
  it("Connect, 2 ManualStop: all timers stop, the ConnectRetryCounter is 0", () => {
    const stopped = step({ ...CONNECT, failures: 3 }, { type: "stop" });
    assert.deepEqual([stopped.state, shown(stopped.actions)], [INITIAL_NEIGHBOR, "disarm"]);
  });
  it("Connect, 9 ConnectRetryTimer_Expires: drops the attempt and makes another", () => {
    assert.equal(shown(step(CONNECT, { type: "retry-expired" }).actions), "close, retry 120, dial");
  });
  it("Active, 9 ConnectRetryTimer_Expires: dials", () => {
    assert.equal(shown(step(ACTIVE, { type: "retry-expired" }, passive).actions), "retry 120, dial");
  });
  it("Active, 17 TcpConnectionConfirmed: takes the connection", () => {
    assert.equal(shown(step(ACTIVE, { type: "incoming", id: 2 }, passive).actions), "accept");
  });
  it("Connect, 18 TcpConnectionFails: waits for the ConnectRetryTimer, not damped", () => {
    const failed = step(CONNECT, { ...lost(false), reason: "connect-failed" });
    assert.deepEqual([shown(failed.actions), failed.state.failures], ["retry 120", 0]);
  });
  it("OpenSent, 18 TcpConnectionFails: goes on listening, dials after the ConnectRetryTimer", () => {
    const sent = after([
      START,
      { type: "dialled", id: 1 },
      { type: "connected", id: 1 },
      { type: "open-sent", id: 1 },
    ]);
    const failed = step(sent, lost(false));
    assert.deepEqual([shown(failed.actions), failed.state.waiting], ["retry 120", "retry"]);
  });
});
