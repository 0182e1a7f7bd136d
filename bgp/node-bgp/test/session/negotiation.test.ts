/** What two OPENs agree on, capability by capability. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { MessageError } from "../../errors.ts";
import type { Capability } from "../../message/capabilities.ts";
import type { OpenMessage } from "../../message/open.ts";
import { Family } from "../../route.ts";
import { type Negotiated, negotiate, openMessage, type SessionConfig } from "../../session/negotiation.ts";
import { PLAIN_OPEN, PLAIN_SESSION } from "../kit/session-config.ts";

const CONFIG: SessionConfig = { ...PLAIN_SESSION, extendedMessages: true, enhancedRefresh: true };
const OPEN = PLAIN_OPEN;

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
  });
  it("refuses a neighbor without a family in common, naming what is missing (RFC 5492 3)", () => {
    const v6: Capability = { kind: "multiprotocol", afi: 2, safi: 1 };
    assert.throws(
      () => negotiate(CONFIG, { ...OPEN, capabilities: [v6] }),
      (error: unknown) =>
        error instanceof MessageError &&
        error.subcode === 7 &&
        Buffer.from(error.data).toString("hex") === "010400010001" &&
        error.message === "no address family in common: ipv4-unicast here, 2/1 (AFI/SAFI) there",
    );
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
  it("offers what is configured, with the F bit and the N bit", () => {
    const restart = {
      restartTime: 120,
      restarting: true,
      forwardingPreserved: true,
      notification: true,
      longLivedStaleTime: { [Family.ipv6Unicast]: 3600 },
    };
    const { capabilities } = openMessage({
      ...CONFIG,
      families: Object.values(Family),
      gracefulRestart: restart,
      addPath: { receive: true, send: false },
      extendedNextHop: true,
    });
    const families = [
      { afi: 1, safi: 1 },
      { afi: 2, safi: 1 },
    ];
    assert.deepEqual(capabilities, [
      ...families.map(family => ({ kind: "multiprotocol", ...family })),
      { kind: "route-refresh" },
      { kind: "enhanced-route-refresh" },
      { kind: "extended-next-hop", families: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
      { kind: "extended-message" },
      {
        kind: "graceful-restart",
        restarting: true,
        notification: true,
        restartTime: 120,
        families: families.map(family => ({ ...family, forwardingPreserved: true })),
      },
      {
        kind: "long-lived-graceful-restart",
        families: [{ afi: 2, safi: 1, forwardingPreserved: true, staleTime: 3600 }],
      },
      { kind: "four-octet-as", asn: 64512 },
      { kind: "add-path", families: families.map(family => ({ ...family, send: false, receive: true })) },
    ]);
  });
  it("offers nothing that is switched off", () => {
    const off = { ...CONFIG, extendedMessages: false, enhancedRefresh: false };
    assert.deepEqual(
      openMessage(off).capabilities.map(({ kind }) => kind),
      ["multiprotocol", "route-refresh", "four-octet-as"],
    );
    // An IPv6 session without IPv4 routes has nothing to say about their next hops.
    const v6: SessionConfig = { ...off, families: [Family.ipv6Unicast], extendedNextHop: true };
    assert.ok(!openMessage(v6).capabilities.some(({ kind }) => kind === "extended-next-hop"));
  });

  describe("of what both sides must have", () => {
    const restart = {
      restartTime: 120,
      restarting: false,
      forwardingPreserved: true,
      notification: true,
      longLivedStaleTime: { [Family.ipv4Unicast]: 60, [Family.ipv6Unicast]: 60 },
    };
    const full: SessionConfig = {
      ...CONFIG,
      families: Object.values(Family),
      gracefulRestart: restart,
      addPath: { receive: true, send: true },
      extendedNextHop: true,
    };
    /** What the neighbor says when it has our configuration, or `part` of it. */
    const from = (part: Partial<SessionConfig>): OpenMessage =>
      openMessage({ ...full, asn: 64512, localAsn: 64513, routerId: "10.0.0.2", ...part });
    const agreed = (ours: Partial<SessionConfig>, theirs: Partial<SessionConfig>) =>
      negotiate({ ...full, ...ours }, from(theirs));

    it("agrees on everything two full speakers offer", () => {
      const terms = agreed({}, {});
      assert.deepEqual(terms.addPathReceive, full.families);
      assert.deepEqual(terms.addPathSend, full.families);
      assert.equal(terms.extendedMessages, true);
      assert.deepEqual(terms.extendedNextHop, [Family.ipv4Unicast]);
      assert.equal(terms.enhancedRefresh, true);
      assert.equal(terms.gracefulRestart?.notification, true);
      const forever = { forwardingPreserved: true, staleTime: 60 };
      assert.deepEqual(
        [...terms.longLived!],
        full.families.map(family => [family, forever]),
      );
    });
    it("does without what one side lacks, whichever it is", () => {
      const without: [Partial<SessionConfig>, (terms: Negotiated) => unknown, unknown][] = [
        [{ extendedMessages: false }, terms => terms.extendedMessages, false],
        [{ extendedNextHop: false }, terms => terms.extendedNextHop, []],
        [{ families: [Family.ipv6Unicast] }, terms => terms.extendedNextHop, []],
        [{ families: [Family.ipv6Unicast] }, terms => terms.addPathSend, [Family.ipv6Unicast]],
        [{ enhancedRefresh: false }, terms => terms.enhancedRefresh, false],
        [{ gracefulRestart: undefined }, terms => terms.gracefulRestart?.notification ?? false, false],
        [
          { gracefulRestart: { ...restart, notification: false } },
          terms => terms.gracefulRestart?.notification,
          false,
        ],
        [{ gracefulRestart: undefined }, terms => terms.longLived, undefined],
        [{ gracefulRestart: { ...restart, longLivedStaleTime: {} } }, terms => terms.longLived, undefined],
      ];
      for (const [part, read, expected] of without) {
        assert.deepEqual(read(agreed(part, {})), expected, `ours ${Object.keys(part)}`);
        assert.deepEqual(read(agreed({}, part)), expected, `theirs ${Object.keys(part)}`);
      }
    });
    it("sends several paths to who receives them, and receives them from who sends (RFC 7911 4)", () => {
      const send = { addPath: { receive: false, send: true } };
      const receive = { addPath: { receive: true, send: false } };
      const shown = (terms: Negotiated) => [terms.addPathSend.length, terms.addPathReceive.length];
      assert.deepEqual(shown(agreed(send, receive)), [2, 0]);
      assert.deepEqual(shown(agreed(receive, send)), [0, 2]);
      assert.deepEqual(shown(agreed(send, send)), [0, 0]);
      assert.deepEqual(shown(agreed(receive, receive)), [0, 0]);
    });
    it("has no long-lived restart without the plain one beside it (RFC 9494 3)", () => {
      const open = from({});
      const capabilities = open.capabilities.filter(({ kind }) => kind !== "graceful-restart");
      assert.equal(negotiate(full, { ...open, capabilities }).longLived, undefined);
    });
    it("sends LLGR_STALE routes to who says it knows them, whatever we ask for ourselves (RFC 9494 4.3)", () => {
      const off = { gracefulRestart: { ...restart, longLivedStaleTime: {} } };
      assert.equal(agreed({}, {}).takesLongLivedStale, true);
      assert.equal(agreed({}, off).takesLongLivedStale, false);
      assert.equal(agreed(off, off).takesLongLivedStale, false);
      assert.equal(agreed(off, {}).takesLongLivedStale, true);
    });
    it("sees the same terms from both sides", () => {
      const part = fc.record(
        {
          families: fc.constantFrom([Family.ipv4Unicast], Object.values(Family)),
          extendedMessages: fc.boolean(),
          extendedNextHop: fc.boolean(),
          enhancedRefresh: fc.boolean(),
          addPath: fc.record({ receive: fc.boolean(), send: fc.boolean() }),
          gracefulRestart: fc.constantFrom(undefined, restart),
        },
        { requiredKeys: [] },
      );
      fc.assert(
        fc.property(part, part, (left, right) => {
          const here = agreed(left, right);
          const there = negotiate(
            { ...full, asn: 64512, localAsn: 64513, routerId: "10.0.0.2", ...right },
            openMessage({ ...full, ...left }),
          );
          for (const name of [
            "families",
            "extendedMessages",
            "extendedNextHop",
            "enhancedRefresh",
            "holdTime",
          ] as const) {
            assert.deepEqual(here[name], there[name], name);
          }
          assert.deepEqual(here.addPathSend, there.addPathReceive);
          assert.deepEqual(here.addPathReceive, there.addPathSend);
        }),
      );
    });
  });
});
