/** One session with its timers, between a socket and a clock that are both the test's. */

import assert from "node:assert/strict";
import type { Clock, TimerHandle } from "../../clock.ts";
import { MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { decodeNotification } from "../../message/notification.ts";
import { encodeOpen } from "../../message/open.ts";
import type { ConnectionEnd } from "../../session/connection-fsm.ts";
import type { SessionConfig } from "../../session/negotiation.ts";
import { Session, type SessionOwner } from "../../session/session.ts";
import type { Connection, ConnectionHandler } from "../../transport/transport.ts";
import { TurnBudget } from "../../turn-budget.ts";
import { PLAIN_SESSION } from "../kit/session-config.ts";
import { SimClock } from "../kit/sim-clock.ts";

const CONFIG: SessionConfig = { ...PLAIN_SESSION, holdTime: 3, keepaliveTime: 1 };

/** A clock whose time can pass without its timers getting their turn, as on a busy event loop. */
class BusyClock implements Clock {
  readonly sim = new SimClock();
  #ahead = 0;
  now(): number {
    return this.sim.now() + this.#ahead;
  }
  setTimeout(callback: () => void, ms: number): TimerHandle {
    return this.sim.setTimeout(callback, ms + this.#ahead);
  }
  clearTimeout(handle: TimerHandle): void {
    this.sim.clearTimeout(handle);
  }
  /** I/O of the turn in which somebody asks to be called behind it. */
  io: (() => void) | undefined;
  setImmediate(callback: () => void): void {
    this.io?.();
    this.io = undefined;
    this.sim.setImmediate(callback);
  }
  /** Time passes, and no timer fires. */
  busy(ms: number): void {
    this.#ahead += ms;
  }
}

/** A session that has just become Established, what it has written, and how it ended. */
class Bench {
  readonly clock = new BusyClock();
  readonly sent: string[] = [];
  /** Bytes the neighbor has not taken; undefined: it takes all. */
  queued: number | undefined;
  end: ConnectionEnd | undefined;
  readonly session: Session;
  #handler: ConnectionHandler | undefined;

  constructor(config: Partial<SessionConfig> = {}, holdTime = 3) {
    const framer = new Framer();
    const bench = this;
    const connection: Connection = {
      remoteAddress: "10.0.0.2",
      remotePort: 179,
      localAddress: "10.0.0.1",
      localPort: 40_000,
      get writableLength() {
        return bench.queued ?? 0;
      },
      setHandler: handler => {
        this.#handler = handler;
      },
      write: bytes => {
        if (this.queued !== undefined) this.queued += bytes.length;
        framer.push(bytes, (type, body, start, end) => {
          const names = Object.entries(MessageType);
          const name = names.find(([, number]) => number === type)![0];
          const notification = decodeNotification(body.slice(start, end));
          this.sent.push(type === MessageType.notification ? `${name} ${notification.code}` : name);
          return true;
        });
      },
      end: () => {},
      destroy: () => {},
      pause: () => {},
      resume: () => {},
      unread: () => {},
    };
    const owner: SessionOwner = {
      onConnected() {},
      onOpenSent() {},
      onOpen: session => session.confirm(),
      onEstablished() {},
      onUpdate() {},
      onRouteRefresh() {},
      onDrain() {},
      onEnded: (_session, end) => {
        this.end = end;
      },
      count() {},
    };
    this.session = new Session({
      id: 1,
      direction: "incoming",
      connection,
      config: { ...CONFIG, ...config },
      owner,
      clock: this.clock,
      random: () => 1,
      reading: new TurnBudget(this.clock, Number.POSITIVE_INFINITY),
    });
    this.session.start();
    const open = { asn: 64513, holdTime, routerId: "10.0.0.2", capabilities: [] };
    this.receive(frame(MessageType.open, encodeOpen(open)));
    this.receive(frame(MessageType.keepalive));
    assert.equal(this.session.phase, "Established");
    this.sent.splice(0);
  }

  receive(bytes: Uint8Array): void {
    this.#handler!.onData(bytes);
    this.clock.sim.settle();
  }

  /** The kernel has taken everything. */
  drain(): void {
    this.queued = 0;
    this.#handler!.onDrain();
  }

  /** Why it ended. */
  get reason(): string | undefined {
    return this.end?.reason;
  }

  get text(): string | undefined {
    return this.end?.text;
  }

  /** Seconds. */
  wait(seconds: number): void {
    this.clock.sim.advance(seconds * 1000);
  }
}

const UPDATE = frame(MessageType.update, Uint8Array.of(0, 0, 0, 0));

describe("keepalives", () => {
  it("go out on time while UPDATEs leave the event loop no time for its timers", () => {
    const bench = new Bench();
    for (let i = 0; i < 100; i++) {
      bench.clock.busy(100);
      bench.receive(UPDATE);
    }
    assert.deepEqual(bench.sent, Array(10).fill("keepalive"));
    assert.equal(bench.end, undefined);
  });
  it("are not needed while we have something to say", () => {
    const bench = new Bench();
    for (let i = 0; i < 50; i++) {
      bench.receive(UPDATE);
      bench.session.sendUpdates(UPDATE, 1);
      bench.wait(0.5);
    }
    assert.deepEqual(new Set(bench.sent), new Set(["update"]));
  });
});

describe("the hold timer", () => {
  it("ends the session with Hold Timer Expired when nothing has come for the hold time", () => {
    const bench = new Bench();
    bench.wait(2.9);
    assert.equal(bench.end, undefined);
    bench.wait(0.2);
    assert.equal(bench.sent.at(-1), "notification 4");
    assert.equal(bench.text, "Hold Timer Expired");
  });
  it("starts anew with every message of any kind", () => {
    const bench = new Bench();
    for (const message of [
      UPDATE,
      frame(MessageType.keepalive),
      frame(MessageType.routeRefresh, Uint8Array.of(0, 1, 0, 1)),
    ]) {
      bench.wait(2.5);
      bench.receive(message);
    }
    bench.wait(2.5);
    assert.equal(bench.end, undefined);
  });
  it("does not care for single bytes: who dribbles is as good as dead", () => {
    const bench = new Bench();
    const long = frame(MessageType.update, new Uint8Array(100));
    for (let i = 0; i < 31; i++) {
      bench.receive(long.subarray(i, i + 1));
      bench.wait(0.1);
    }
    assert.equal(bench.text, "Hold Timer Expired");
  });
  it("looks at the socket once more before it expires", () => {
    const bench = new Bench();
    // The timer is first, and the data is delivered in the same turn.
    bench.clock.io = () => bench.receive(frame(MessageType.keepalive));
    bench.wait(4);
    assert.deepEqual([bench.end, bench.clock.io], [undefined, undefined]);
    bench.wait(2);
    assert.equal(bench.text, "Hold Timer Expired");
  });
  it("does not run where the neighbor wants none, and neither do keepalives", () => {
    const bench = new Bench({}, 0);
    bench.wait(24 * 3600);
    assert.deepEqual([bench.end, bench.sent], [undefined, []]);
  });
});

describe("the send hold timer (RFC 9687)", () => {
  /** A neighbor that goes on talking and takes nothing. */
  const stall = (bench: Bench, seconds: number) => {
    for (let i = 0; i < seconds && bench.end === undefined; i++) {
      bench.receive(frame(MessageType.keepalive));
      bench.wait(1);
    }
  };

  it("gives up a neighbor that takes nothing for eight minutes, or twice the hold time", () => {
    for (const [holdTime, seconds] of [
      [3, 480],
      [600, 1200],
    ] as const) {
      const bench = new Bench({ holdTime }, holdTime);
      bench.queued = 0;
      bench.session.sendUpdates(UPDATE, 1);
      stall(bench, seconds - 1);
      assert.equal(bench.end, undefined);
      stall(bench, 2);
      assert.equal(bench.reason, "send-hold-expired");
      assert.match(`${bench.text}`, /^Send Hold Timer Expired/);
    }
  });
  it("is content with any progress", () => {
    const bench = new Bench({ sendHoldTime: 60 });
    bench.queued = 0;
    bench.session.sendUpdates(UPDATE, 1);
    bench.queued = 1_000_000;
    for (let i = 0; i < 20; i++) {
      stall(bench, 59);
      bench.queued -= 10_000;
    }
    assert.equal(bench.end, undefined);
    stall(bench, 121);
    assert.equal(bench.reason, "send-hold-expired");
  });
  it("stops when everything is taken", () => {
    const bench = new Bench({ sendHoldTime: 60 });
    bench.queued = 0;
    bench.session.sendUpdates(UPDATE, 1);
    stall(bench, 59);
    bench.drain();
    bench.queued = undefined;
    stall(bench, 600);
    assert.equal(bench.end, undefined);
  });
  it("is never shorter than the hold time, and there is none without one unless asked for", () => {
    const short = new Bench({ sendHoldTime: 1 });
    short.queued = 0;
    short.session.sendUpdates(UPDATE, 1);
    stall(short, 3);
    assert.equal(short.end, undefined);
    stall(short, 2);
    assert.equal(short.reason, "send-hold-expired");
    for (const sendHoldTime of [undefined, 100]) {
      const bench = new Bench({ sendHoldTime }, 0);
      bench.queued = 0;
      bench.session.sendUpdates(UPDATE, 1);
      stall(bench, 3600);
      assert.equal(bench.reason, sendHoldTime === undefined ? undefined : "send-hold-expired");
    }
  });
});
