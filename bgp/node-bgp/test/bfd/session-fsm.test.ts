import assert from "node:assert/strict";
import fc from "fast-check";
import { Diagnostic, SessionState } from "../../bfd/constants.ts";
import type { ControlPacket } from "../../bfd/control-packet.ts";
import type { Session } from "../../bfd/session.ts";
import {
  newSession,
  nextDeadline,
  resumedSession,
  type SessionEvent,
  sessionStep,
} from "../../bfd/session-fsm.ts";
import { detectionTime } from "../../bfd/session-timers.ts";
import { anyPacket } from "../kit/bfd-packets.ts";
import { DEFAULT_CONFIG, type SentPacket, SimBfdLink } from "../kit/sim-bfd.ts";

const FROM_NEIGHBOR: ControlPacket = {
  diagnostic: 0,
  state: SessionState.down,
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  authenticated: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 7,
  yourDiscriminator: 1,
  desiredMinTx: 1_000_000,
  requiredMinRx: 300_000,
  requiredMinEchoRx: 0,
};

const INPUT = { now: 0, random: 0.5 };

/** Both Up, and the Poll Sequences that follow over. */
function upLink(...settings: ConstructorParameters<typeof SimBfdLink>): SimBfdLink {
  const link = new SimBfdLink(...settings);
  link.advanceUntil(() => link.a.isUp && link.b.isUp, 10_000);
  link.advance(5_000);
  assert.ok(link.a.isUp && link.b.isUp);
  return link;
}

function hear(session: Session, packet: Partial<ControlPacket>): ReturnType<typeof sessionStep> {
  return sessionStep(session, { type: "received", packet: { ...FROM_NEIGHBOR, ...packet } }, INPUT);
}

function sessionIn(state: SessionState): Session {
  return { ...newSession(1, DEFAULT_CONFIG, 0), state };
}

/** Gaps between packets that are not Finals. */
function gaps(sent: readonly SentPacket[]): number[] {
  const periodic = sent.filter(({ packet }) => !packet.final);
  return periodic.slice(1).map(({ at }, i) => at - periodic[i]!.at);
}

describe("a BFD session", () => {
  describe("states (RFC 5880 6.8.6)", () => {
    const { adminDown, down, init, up } = SessionState;
    for (const [state, heard, next] of [
      [down, down, init],
      [down, init, up],
      [down, up, down],
      [down, adminDown, down],
      [init, down, init],
      [init, init, up],
      [init, up, up],
      [init, adminDown, down],
      [up, down, down],
      [up, init, up],
      [up, up, up],
      [up, adminDown, down],
      [adminDown, down, adminDown],
      [adminDown, init, adminDown],
      [adminDown, up, adminDown],
      [adminDown, adminDown, adminDown],
    ] as const) {
      const names = ["AdminDown", "Down", "Init", "Up"];
      it(`goes from ${names[state]} to ${names[next]} on ${names[heard]}`, () => {
        const { session, actions } = hear(sessionIn(state), { state: heard });
        assert.equal(session.state, next);
        assert.equal(
          actions.some(action => action.do === "report"),
          next !== state,
        );
      });
    }

    it("comes Up on both sides, from Down, in two packets each", () => {
      const link = new SimBfdLink();
      link.advanceUntil(() => link.a.isUp && link.b.isUp, 100);
      assert.equal(link.a.session.remote.discriminator, 0xb);
      assert.equal(link.b.session.remote.discriminator, 0xa);
      assert.equal(link.a.session.diagnostic, Diagnostic.none);
    });

    it("says why it is Down: the neighbor said so, or nothing was heard", () => {
      const told = hear(sessionIn(up), { state: down }).session;
      assert.equal(told.diagnostic, Diagnostic.neighborSignaledDown);
      const link = upLink();
      link.cut();
      link.advance(1_000);
      assert.equal(link.a.session.diagnostic, Diagnostic.detectionTimeExpired);
    });

    it("keeps that reason until it is Up again", () => {
      const told = hear(sessionIn(up), { state: down }).session;
      const again = hear(told, { state: down }).session;
      assert.equal(again.state, init);
      assert.equal(again.diagnostic, Diagnostic.neighborSignaledDown);
      assert.equal(hear(again, { state: init }).session.diagnostic, Diagnostic.none);
    });

    it("tells a neighbor that shuts down from one that is lost", () => {
      const link = upLink();
      link.b.configure({ adminDown: true });
      link.advance(10);
      assert.equal(link.a.reports.at(-1)!.cause, "neighbor-admin-down");
      assert.equal(link.b.reports.at(-1)!.cause, "admin-down");
      link.b.configure({ adminDown: false });
      link.advanceUntil(() => link.a.isUp && link.b.isUp, 3_000);
    });

    it("goes on telling that it is shut down", () => {
      const link = new SimBfdLink({ adminDown: true });
      link.advance(10_000);
      assert.ok(link.a.sent.length >= 10 && link.a.sent.length <= 14);
      assert.ok(
        link.a.sent.every(
          ({ packet }) => packet.state === adminDown && packet.diagnostic === Diagnostic.administrativelyDown,
        ),
      );
      assert.equal(link.b.state, "Down");
    });

    it("comes back with a neighbor that was killed and has another discriminator", () => {
      const link = upLink();
      link.b.isDead = true;
      link.advance(5_000);
      assert.equal(link.a.state, "Down");
      assert.equal(link.a.session.remote.discriminator, 0);
      link.b.restart(0xbb);
      link.advanceUntil(() => link.a.isUp && link.b.isUp, 2_000);
      assert.equal(link.a.session.remote.discriminator, 0xbb);
    });

    it("forgets in Down a discriminator not heard for the detection time", () => {
      const { session } = hear(sessionIn(up), { state: down });
      assert.equal(session.remote.discriminator, 7);
      const { session: later } = sessionStep(session, { type: "wake" }, { now: session.detectAt, random: 0 });
      assert.equal(later.remote.discriminator, 0);
      assert.equal(later.state, down);
    });
  });

  describe("detection", () => {
    it("takes the neighbor's multiplier times the slower of its interval and what we ask for", () => {
      const link = upLink(
        { minRx: 200_000, multiplier: 9 },
        { minTx: 500_000, minRx: 100_000, multiplier: 4 },
      );
      assert.equal(detectionTime(link.a.session), 4 * 500_000);
      assert.equal(detectionTime(link.b.session), 9 * 300_000);
    });

    it("notices a cut after the detection time, not before", () => {
      for (let seed = 1; seed <= 50; seed++) {
        const link = upLink({}, {}, seed);
        link.cut();
        link.advance(link.latency);
        const { detectAt } = link.a.session;
        assert.ok(detectAt / 1000 - link.clock.now() >= 600);
        link.advanceUntil(() => !link.a.isUp, 901);
        assert.ok(Math.abs(link.clock.now() - detectAt / 1000) <= 1);
        assert.equal(link.a.reports.at(-1)!.cause, "detection-expired");
      }
    });

    it("bears the loss of packets in a row, up to the multiplier less one", () => {
      const link = upLink();
      let lost = 0;
      link.loses = from => from === link.b && lost++ % 3 !== 2;
      link.advance(60_000);
      assert.ok(link.a.isUp && link.b.isUp);
      assert.ok(lost > 150);
    });

    it("of one direction cut brings down both sides", () => {
      const link = upLink();
      link.loses = from => from === link.b;
      link.advanceUntil(() => !link.a.isUp, 901);
      link.advance(link.latency + 1);
      assert.equal(link.b.state, "Down");
      assert.equal(link.b.reports.at(-1)!.cause, "neighbor-down");
    });
  });

  describe("transmission (6.8.7)", () => {
    it("is slow while not Up, whatever the neighbor allows", () => {
      const link = new SimBfdLink({ minTx: 50_000 });
      link.cut();
      link.advance(20_000);
      assert.ok(gaps(link.a.sent).every(gap => gap >= 750 && gap <= 1_000));
      assert.ok(link.a.sent.every(({ packet }) => packet.desiredMinTx === 1_000_000));
    });

    it("keeps the slower of what we wish and the neighbor asks for, less 0 to 25 %", () => {
      const link = upLink({ minTx: 100_000 }, { minRx: 200_000 });
      link.a.sent.length = 0;
      link.advance(60_000);
      const all = gaps(link.a.sent);
      assert.ok(all.every(gap => gap >= 150 && gap <= 200));
      assert.ok(Math.min(...all) < 155 && Math.max(...all) > 195);
    });

    it("is less 10 to 25 % with a multiplier of 1", () => {
      const link = upLink({ minTx: 200_000, multiplier: 1 }, { minRx: 200_000 });
      link.a.sent.length = 0;
      link.advance(60_000);
      const all = gaps(link.a.sent);
      assert.ok(all.every(gap => gap >= 150 && gap <= 180.001));
      assert.ok(Math.max(...all) > 178);
      assert.ok(link.a.isUp && link.b.isUp);
    });

    it("stops for a neighbor that asks for none, and begins again when it does", () => {
      const { session } = hear(sessionIn(SessionState.up), { state: SessionState.up, requiredMinRx: 0 });
      assert.equal(session.transmitAt, Number.POSITIVE_INFINITY);
      assert.ok(nextDeadline(session) === session.detectAt, "it is still watched over");
      const { session: again } = hear(session, { state: SessionState.up, requiredMinRx: 100_000 });
      assert.ok(again.transmitAt < 1_000_000);
    });

    it("stops for a neighbor in demand mode once both are Up, and answers its polls", () => {
      const inDemand = { state: SessionState.up, demand: true };
      const { session } = hear(sessionIn(SessionState.up), inDemand);
      assert.equal(session.transmitAt, Number.POSITIVE_INFINITY);
      const { actions } = hear(session, { ...inDemand, poll: true });
      assert.ok(actions.length === 1 && actions[0]!.do === "send" && actions[0]!.packet.final);
    });

    it("polls a neighbor in demand mode when a timer changes", () => {
      const { session } = hear(sessionIn(SessionState.up), { state: SessionState.up, demand: true });
      const config = { ...DEFAULT_CONFIG, minTx: 400_000 };
      const { session: polling } = sessionStep(session, { type: "configure", config }, INPUT);
      assert.ok(polling.transmitAt < Number.POSITIVE_INFINITY);
      const sent = sessionStep(polling, { type: "wake" }, { now: polling.transmitAt, random: 0 });
      assert.ok(sent.actions[0]!.do === "send" && sent.actions[0]!.packet.poll);
      const final = { state: SessionState.up, demand: true, final: true };
      assert.equal(hear(sent.session, final).session.transmitAt, Number.POSITIVE_INFINITY);
    });

    it("is at once when the state has changed", () => {
      const link = upLink();
      link.a.configure({ adminDown: true });
      const { at, packet } = link.a.sent.at(-1)!;
      assert.equal(at, link.clock.now());
      assert.equal(packet.state, SessionState.adminDown);
    });

    it("follows at once a neighbor that allows more", () => {
      const slow = hear(sessionIn(SessionState.up), { state: SessionState.up, requiredMinRx: 60_000_000 });
      assert.ok(slow.session.transmitAt >= 44_000_000);
      const sent = sessionStep(slow.session, { type: "wake" }, { now: slow.session.transmitAt, random: 0.5 });
      assert.ok(sent.session.transmitAt > 40_000_000);
      const { session } = hear(sent.session, { state: SessionState.up, requiredMinRx: 300_000 });
      assert.ok(session.transmitAt <= sent.session.sentAt + 1_000_000);
    });

    it("refuses echo, and says nothing of demand mode or a control plane that can fail alone", () => {
      const link = upLink();
      for (const { packet } of [...link.a.sent, ...link.b.sent]) {
        assert.equal(packet.requiredMinEchoRx, 0);
        assert.ok(!packet.demand && !packet.controlPlaneIndependent && !packet.authenticated);
      }
    });
  });

  describe("Poll Sequences", () => {
    it("tell the neighbor the fast timers once Up", () => {
      const link = upLink();
      const polls = link.a.sent.filter(({ packet }) => packet.poll);
      assert.ok(polls.length > 0 && polls.every(({ packet }) => packet.desiredMinTx === 300_000));
      assert.equal(link.a.session.poll, "idle");
      assert.ok(link.b.sent.some(({ packet }) => packet.final));
      assert.ok(gaps(link.a.sent.slice(-5)).every(gap => gap <= 300));
    });

    it("go on until answered, in periodic packets only", () => {
      const link = upLink();
      link.a.sent.length = 0;
      link.loses = (from, bytes) => from === link.b && (bytes[1]! & 0x10) !== 0;
      link.a.configure({ minTx: 200_000 });
      link.advance(3_000);
      assert.ok(link.a.isUp);
      assert.ok(link.a.sent.slice(1).every(({ packet }) => packet.poll));
      assert.ok(gaps(link.a.sent).every(gap => gap >= 150));
      link.heal();
      link.advance(1_000);
      assert.equal(link.a.sent.at(-1)!.packet.poll, false);
    });

    it("have to end before we send less often", () => {
      const link = upLink();
      link.loses = (from, bytes) => from === link.b && (bytes[1]! & 0x10) !== 0;
      link.a.configure({ minTx: 2_000_000 });
      link.a.sent.length = 0;
      link.advance(3_000);
      assert.ok(gaps(link.a.sent).every(gap => gap <= 300));
      assert.ok(link.a.sent.every(({ packet }) => packet.desiredMinTx === 2_000_000));
      link.heal();
      link.advance(10_000);
      assert.ok(gaps(link.a.sent.slice(-4)).every(gap => gap >= 1_500));
      assert.ok(link.a.isUp && link.b.isUp);
    });

    it("have to end before we expect packets more often", () => {
      const link = upLink({ minRx: 1_000_000 }, { minTx: 50_000 });
      assert.equal(detectionTime(link.a.session), 3_000_000);
      link.loses = (from, bytes) => from === link.b && (bytes[1]! & 0x10) !== 0;
      link.a.configure({ minRx: 100_000 });
      link.advance(5_000);
      assert.equal(detectionTime(link.a.session), 3_000_000);
      link.heal();
      link.advance(2_000);
      assert.equal(detectionTime(link.a.session), 300_000);
      assert.ok(link.a.isUp && link.b.isUp);
    });

    it("follow one another when timers change during one", () => {
      const link = upLink();
      link.latency = 50;
      link.a.configure({ minTx: 200_000 });
      link.advanceUntil(() => link.a.session.pollsSent === 1, 400);
      link.a.configure({ minTx: 5_000_000 });
      assert.equal(link.a.session.poll, "again");
      link.advanceUntil(() => link.a.session.poll === "active", 400);
      assert.equal(link.a.session.usedMinTx, 200_000, "the first answer was for the first change");
      link.advanceUntil(() => link.a.session.poll === "idle", 1_000);
      assert.equal(link.a.session.usedMinTx, 5_000_000);
    });

    it("survive any sequence of changes without either side seeing a gap", () => {
      const interval = fc.integer({ min: 10, max: 3_000 }).map(ms => ms * 1000);
      const change = fc.record({
        minTx: interval,
        minRx: interval,
        multiplier: fc.integer({ min: 2, max: 5 }),
      });
      const step = fc.record({ side: fc.constantFrom("a", "b"), change, wait: fc.nat(2_000) });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 8 }), fc.integer({ min: 1 }), (steps, seed) => {
          const link = upLink({}, {}, seed);
          for (const { side, change, wait } of steps) {
            link[side as "a" | "b"].configure(change);
            link.advance(wait);
          }
          link.advance(20_000);
          assert.ok(link.a.reports.every(({ state }) => state !== "Down"));
          assert.ok(link.b.reports.every(({ state }) => state !== "Down"));
          for (const side of [link.a, link.b]) {
            assert.equal(side.session.poll, "idle");
            assert.equal(side.session.usedMinTx, side.session.config.minTx);
            assert.equal(side.session.usedMinRx, side.session.config.minRx);
          }
        }),
        { numRuns: 60 },
      );
    });

    it("measure the round trip, where asked to, every so often", () => {
      const link = new SimBfdLink({ pollInterval: 5_000_000 });
      link.latency = 3;
      link.advance(60_000);
      assert.ok(Math.abs(link.a.session.roundTrip - 6_000) < 10);
      const polls = link.a.sent.filter(({ packet }) => packet.poll).length;
      assert.ok(polls >= 10 && polls <= 14, `${polls} in a minute`);
      assert.equal(link.b.sent.filter(({ packet }) => packet.poll).length, 1, "the other does not");
      link.latency = 5;
      link.advance(6_000);
      assert.ok(Math.abs(link.a.session.roundTrip - 10_000) < 10);
      const { smoothedRoundTrip } = link.a.session;
      assert.ok(smoothedRoundTrip > 6_000 && smoothedRoundTrip < 8_000);
    });

    it("do not measure when it is unclear which packet was answered", () => {
      const link = upLink();
      const before = link.a.session.roundTrip;
      link.latency = 700;
      link.a.configure({ minTx: 290_000 });
      link.advance(5_000);
      assert.equal(link.a.session.poll, "idle");
      assert.equal(link.a.session.roundTrip, before);
    });
  });

  describe("after the death of the thread that ran it", () => {
    it("goes on in Up, and the neighbor has seen nothing but a gap", () => {
      const link = upLink();
      const { config, remote, localDiscriminator } = link.a.session;
      link.a.isDead = true;
      link.advance(400);
      link.a.isDead = false;
      link.a.session = resumedSession(localDiscriminator, config, remote, link.clock.now() * 1000);
      link.a.configure({});
      link.advance(10_000);
      assert.ok(link.a.isUp && link.b.isUp);
      assert.ok(link.b.reports.every(({ state }) => state !== "Down"));
    });

    it("still notices that the neighbor has gone", () => {
      const link = upLink();
      const { config, remote, localDiscriminator } = link.a.session;
      link.cut();
      link.a.session = resumedSession(localDiscriminator, config, remote, link.clock.now() * 1000);
      link.a.configure({});
      link.advanceUntil(() => !link.a.isUp, 901);
    });
  });

  describe("whatever comes, in whatever order", () => {
    const event: fc.Arbitrary<SessionEvent> = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ type: "wake" } as const) },
      { weight: 4, arbitrary: fc.record({ type: fc.constant("received" as const), packet: anyPacket }) },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant("configure" as const),
          config: fc.record({
            minTx: fc.integer({ min: 10_000, max: 60_000_000 }),
            minRx: fc.integer({ min: 10_000, max: 60_000_000 }),
            multiplier: fc.integer({ min: 1, max: 255 }),
            adminDown: fc.boolean(),
            pollInterval: fc.constantFrom(0, 5_000_000),
          }),
        }),
      },
    );

    it("keeps the rules of RFC 5880 in everything it sends", () => {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(event, fc.nat(2_000_000), fc.double({ min: 0, max: 0.999, noNaN: true }))),
          events => {
            let now = 0;
            let session = newSession(1, DEFAULT_CONFIG, now);
            for (const [happens, passed, random] of events) {
              now += passed;
              const before = session;
              const { session: after, actions } = sessionStep(before, happens, { now, random });
              const sends = actions.flatMap(action => (action.do === "send" ? [action.packet] : []));
              const reports = actions.filter(action => action.do === "report");
              for (const packet of sends) {
                assert.ok(!(packet.poll && packet.final));
                assert.ok(packet.multiplier > 0 && packet.myDiscriminator === 1);
                assert.equal(packet.state, after.state);
                if (packet.state !== SessionState.up) assert.ok(packet.desiredMinTx >= 1_000_000);
                if (packet.yourDiscriminator === 0) assert.ok(packet.state <= SessionState.down);
              }
              assert.ok(sends.length <= 1, "one event, one packet");
              assert.equal(reports.length, before.state === after.state ? 0 : 1);
              const isAsked = happens.type === "received" && happens.packet.poll;
              if (isAsked) {
                assert.equal(sends.length, after.state === SessionState.adminDown ? 0 : 1);
                assert.ok(sends.every(packet => packet.final));
              }
              // Nothing periodic ahead of its time.
              if (sends.length > 0 && reports.length === 0 && !isAsked) assert.ok(now >= before.transmitAt);
              if (after.transmitAt !== before.transmitAt && after.transmitAt < Number.POSITIVE_INFINITY) {
                const floor = Math.max(after.usedMinTx, after.remote.minRx) * 0.75;
                assert.ok(after.transmitAt >= after.sentAt + floor - 1 || after.transmitAt === now);
              }
              // Up is watched over, always.
              if (after.state >= SessionState.init) assert.ok(after.detectAt < Number.POSITIVE_INFINITY);
              session = after;
            }
          },
        ),
        { numRuns: 500 },
      );
    });

    it("two of them are Up soon after a link of any loss heals", () => {
      fc.assert(
        fc.property(fc.integer({ min: 1 }), fc.nat(90), fc.nat(20_000), (seed, percent, ms) => {
          const link = new SimBfdLink({}, {}, seed);
          link.loses = () => link.random() * 100 < percent;
          link.advance(ms);
          link.heal();
          // At worst each side has just sent, and the other has to forget a discriminator first.
          link.advanceUntil(() => link.a.isUp && link.b.isUp, 6_000);
          link.advance(10_000);
          assert.ok(link.a.isUp && link.b.isUp);
        }),
        { numRuns: 100 },
      );
    });
  });
});
