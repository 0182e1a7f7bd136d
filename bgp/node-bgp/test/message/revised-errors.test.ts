/**
 * RFC 7606, as a table: attribute list and NLRI of an UPDATE -> what becomes of its routes and of the session.
 *
 * ok: announced; discard: announced without the attribute; withdraw: treated as withdrawn; disable: the family is given up; reset CODE: NOTIFICATION 3/CODE.
 */

import assert from "node:assert/strict";
import { MessageError } from "../../errors.ts";
import { decodeUpdate, type Update } from "../../message/update.ts";

const ORIGIN = "400101 00";
const PATH = "400206 02010000fc00";
const HOP = "400304 0a000001";
const PREF = "400504 00000064";
const SOUND = `${ORIGIN} ${PATH} ${HOP} ${PREF}`;
const NLRI = "18 c0a801";
const HOP6 = `${"fd".padEnd(31, "0")}1`;
const REACH = `800e1a 0002 01 10 ${HOP6} 00 20 fd000001`.replace("1a", "1a");
const UNREACH = "800f08 0002 01 20 fd000002";

interface Case {
  readonly what: string;
  readonly attributes: string;
  readonly nlri?: string;
  readonly ebgp?: boolean;
  readonly twoOctet?: boolean;
  readonly outcome: "ok" | "discard" | "withdraw" | "disable" | `reset ${number}`;
}

const CASES: readonly Case[] = [
  { what: "a sound UPDATE", attributes: SOUND, outcome: "ok" },
  { what: "ORIGIN of two bytes", attributes: `400102 0000 ${PATH} ${HOP}`, outcome: "withdraw" },
  { what: "ORIGIN 3", attributes: `400101 03 ${PATH} ${HOP}`, outcome: "withdraw" },
  { what: "ORIGIN flagged optional", attributes: `c00101 00 ${PATH} ${HOP}`, outcome: "withdraw" },
  { what: "no ORIGIN", attributes: `${PATH} ${HOP}`, outcome: "withdraw" },
  {
    what: "AS_PATH with an unknown segment type",
    attributes: `${ORIGIN} 400206 07010000fc00 ${HOP}`,
    outcome: "withdraw",
  },
  { what: "AS_PATH with an empty segment", attributes: `${ORIGIN} 400202 0200 ${HOP}`, outcome: "withdraw" },
  { what: "AS_PATH that overruns", attributes: `${ORIGIN} 400206 02020000fc00 ${HOP}`, outcome: "withdraw" },
  {
    what: "AS_PATH with half a segment header",
    attributes: `${ORIGIN} 400201 02 ${HOP}`,
    outcome: "withdraw",
  },
  {
    what: "AS_PATH with AS 0 (RFC 7607)",
    attributes: `${ORIGIN} 400206 020100000000 ${HOP}`,
    outcome: "withdraw",
  },
  { what: "no AS_PATH", attributes: `${ORIGIN} ${HOP}`, outcome: "withdraw" },
  { what: "an empty AS_PATH", attributes: `${ORIGIN} 400200 ${HOP} ${PREF}`, outcome: "ok" },
  { what: "NEXT_HOP of five bytes", attributes: `${ORIGIN} ${PATH} 400305 0a00000100`, outcome: "withdraw" },
  { what: "NEXT_HOP 0.0.0.0", attributes: `${ORIGIN} ${PATH} 400304 00000000`, outcome: "withdraw" },
  { what: "NEXT_HOP multicast", attributes: `${ORIGIN} ${PATH} 400304 e0000001`, outcome: "withdraw" },
  { what: "no NEXT_HOP", attributes: `${ORIGIN} ${PATH}`, outcome: "withdraw" },
  { what: "MED of three bytes", attributes: `${SOUND} 800403 000001`, outcome: "withdraw" },
  { what: "MED flagged transitive", attributes: `${SOUND} c00404 00000001`, outcome: "withdraw" },
  {
    what: "LOCAL_PREF of three bytes",
    attributes: `${ORIGIN} ${PATH} ${HOP} 400503 000001`,
    outcome: "withdraw",
  },
  {
    what: "LOCAL_PREF of three bytes, external",
    attributes: `${ORIGIN} ${PATH} ${HOP} 400503 000001`,
    ebgp: true,
    outcome: "ok",
  },
  { what: "ATOMIC_AGGREGATE with a value", attributes: `${SOUND} 400601 00`, outcome: "discard" },
  {
    what: "AGGREGATOR of six bytes with 4-byte AS",
    attributes: `${SOUND} c00706 fc000a000001`,
    outcome: "discard",
  },
  {
    what: "AGGREGATOR of eight bytes with 2-byte AS",
    attributes: `${ORIGIN} 400204 0201fc00 ${HOP} c00708 0000fc000a000001`,
    twoOctet: true,
    outcome: "discard",
  },
  { what: "AGGREGATOR with AS 0", attributes: `${SOUND} c00708 000000000a000001`, outcome: "discard" },
  {
    what: "AGGREGATOR flagged well-known",
    attributes: `${SOUND} 400708 0000fc000a000001`,
    outcome: "discard",
  },
  { what: "COMMUNITIES of five bytes", attributes: `${SOUND} c00805 0000000000`, outcome: "withdraw" },
  { what: "COMMUNITIES of none", attributes: `${SOUND} c00800`, outcome: "withdraw" },
  { what: "EXTENDED COMMUNITIES of four bytes", attributes: `${SOUND} c01004 00000000`, outcome: "withdraw" },
  {
    what: "LARGE_COMMUNITY of eleven bytes",
    attributes: `${SOUND} c0200b ${"00".repeat(11)}`,
    outcome: "withdraw",
  },
  { what: "ORIGINATOR_ID of three bytes", attributes: `${SOUND} 800903 000001`, outcome: "withdraw" },
  {
    what: "ORIGINATOR_ID of three bytes, external",
    attributes: `${SOUND} 800903 000001`,
    ebgp: true,
    outcome: "ok",
  },
  { what: "CLUSTER_LIST of five bytes", attributes: `${SOUND} 800a05 0000000100`, outcome: "withdraw" },
  { what: "CLUSTER_LIST of none", attributes: `${SOUND} 800a00`, outcome: "withdraw" },
  {
    what: "CLUSTER_LIST of five bytes, external",
    attributes: `${SOUND} 800a05 0000000100`,
    ebgp: true,
    outcome: "ok",
  },
  {
    what: "AS4_PATH malformed, 2-byte AS",
    attributes: `${ORIGIN} 400204 0201fc00 ${HOP} c01103 020100`,
    twoOctet: true,
    outcome: "discard",
  },
  { what: "a second ORIGIN", attributes: `${SOUND} 400101 01`, outcome: "discard" },
  { what: "an attribute that overruns the list", attributes: `${SOUND} c008ff 0000`, outcome: "withdraw" },
  { what: "one byte after the last attribute", attributes: `${SOUND} c0`, outcome: "withdraw" },
  { what: "half an extended length", attributes: `${SOUND} d00800`, outcome: "withdraw" },
  { what: "an unknown optional transitive attribute", attributes: `${SOUND} c063020102`, outcome: "ok" },
  { what: "an unknown optional non-transitive attribute", attributes: `${SOUND} 8063020102`, outcome: "ok" },
  { what: "an unknown well-known attribute", attributes: `${SOUND} 4063020102`, outcome: "reset 2" },
  {
    what: "a discard and a withdraw: the worse one",
    attributes: `${SOUND} 400601 00 c00805 0000000000`,
    outcome: "withdraw",
  },
  {
    what: "a withdraw and a reset: the worse one",
    attributes: `${SOUND} c00805 0000000000 4063020102`,
    outcome: "reset 2",
  },
  {
    what: "an attribute error and nothing reachable (RFC 7606 5.2)",
    attributes: `${ORIGIN} c00805 0000000000`,
    nlri: "",
    outcome: "reset 1",
  },
  { what: "attributes without routes", attributes: SOUND, nlri: "", outcome: "ok" },
  { what: "a prefix longer than 32", attributes: SOUND, nlri: "21 c0a8010203", outcome: "reset 10" },
  { what: "a prefix that overruns", attributes: SOUND, nlri: "18 c0a8", outcome: "reset 10" },
  { what: "sound MP_REACH_NLRI", attributes: `${REACH} ${ORIGIN} ${PATH} ${PREF}`, nlri: "", outcome: "ok" },
  {
    what: "MP_REACH_NLRI twice",
    attributes: `${REACH} ${REACH} ${ORIGIN} ${PATH}`,
    nlri: "",
    outcome: "reset 1",
  },
  { what: "MP_UNREACH_NLRI twice", attributes: `${UNREACH} ${UNREACH}`, nlri: "", outcome: "reset 1" },
  {
    what: "MP_REACH_NLRI with bad ORIGIN",
    attributes: `${REACH} 400101 09 ${PATH}`,
    nlri: "",
    outcome: "withdraw",
  },
  {
    what: "MP_REACH_NLRI with a next hop of five bytes",
    attributes: `800e0b 0002 01 05 0000000000 00 00 ${ORIGIN} ${PATH}`,
    nlri: "",
    outcome: "disable",
  },
  {
    what: "MP_REACH_NLRI with a prefix that overruns",
    attributes: `800e16 0002 01 10 ${HOP6} 00 40 ${ORIGIN} ${PATH}`,
    nlri: "",
    outcome: "disable",
  },
  {
    what: "MP_REACH_NLRI of two bytes",
    attributes: `800e02 0002 ${ORIGIN} ${PATH}`,
    nlri: "",
    outcome: "reset 9",
  },
  {
    what: "MP_REACH_NLRI of a family nobody knows",
    attributes: `800e09 4004 47 04 0a000001 00 ${ORIGIN} ${PATH}`,
    nlri: "",
    outcome: "ok",
  },
  {
    what: "MP_UNREACH_NLRI with a prefix that is too long",
    attributes: "800f05 0002 01 81 fd",
    nlri: "",
    outcome: "disable",
  },
];

function run({ attributes, nlri = NLRI, ebgp = false, twoOctet = false }: Case): Update | MessageError {
  const list = Buffer.from(attributes.replace(/\s/g, ""), "hex");
  const routes = Buffer.from(nlri.replace(/\s/g, ""), "hex");
  const body = Buffer.concat([Buffer.from([0, 0, list.length >> 8, list.length & 255]), list, routes]);
  try {
    return decodeUpdate(body, { ebgp, fourOctetAs: !twoOctet });
  } catch (error) {
    if (error instanceof MessageError) return error;
    throw error;
  }
}

describe("an UPDATE with (RFC 7606)", () => {
  for (const test of CASES) {
    it(`${test.what}: ${test.outcome}`, () => {
      const result = run(test);
      if (result instanceof MessageError) {
        assert.equal(`reset ${result.subcode}`, test.outcome);
        assert.equal(result.notificationCode, 3);
        return;
      }
      const actions = new Set(result.problems.map(({ action }) => action));
      const worst = actions.has("disable-family")
        ? "disable"
        : actions.has("withdraw")
          ? "withdraw"
          : actions.has("discard")
            ? "discard"
            : "ok";
      assert.equal(worst, test.outcome, JSON.stringify(result.problems));
      const hasRoutes =
        test.nlri !== "" || test.attributes.includes("0000 20 fd") || test.attributes.startsWith(REACH);
      if (!hasRoutes) return;
      if (worst === "withdraw") {
        assert.equal(result.announced.length, 0);
        assert.equal(result.withdrawn.length, 1);
      } else assert.equal(result.announced.length, 1);
    });
  }

  it("withdrawn routes that overrun the message: reset", () => {
    assert.throws(
      () => decodeUpdate(Uint8Array.of(0, 9, 0, 0), { ebgp: false, fourOctetAs: true }),
      MessageError,
    );
  });
  it("an attribute list that overruns the message: reset", () => {
    assert.throws(
      () => decodeUpdate(Uint8Array.of(0, 0, 0, 9), { ebgp: false, fourOctetAs: true }),
      MessageError,
    );
  });
  it("NLRI and no attributes: its routes are withdrawn", () => {
    const update = decodeUpdate(Uint8Array.of(0, 0, 0, 0, 8, 10), { ebgp: false, fourOctetAs: true });
    assert.deepEqual([...update.withdrawn[0]!], ["10.0.0.0/8"]);
  });
});
