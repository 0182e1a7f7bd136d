/** The codec's half of RFC 7606: the verdict on an UPDATE, and what comes out for the RIB. */

import assert from "node:assert/strict";
import { MessageError } from "../../errors.ts";
import { decodeUpdate, type Update } from "../../message/update.ts";
import { MALFORMED_CASES, type MalformedCase, type Outcome, updateBody } from "../kit/rfc7606-cases.ts";

function run(test: MalformedCase): Update | MessageError {
  const { external = false, twoOctet = false } = test;
  try {
    return decodeUpdate(updateBody(test), { ebgp: external, fourOctetAs: !twoOctet });
  } catch (error) {
    if (error instanceof MessageError) return error;
    throw error;
  }
}

function worst({ problems }: Update): Outcome {
  const actions = new Set(problems.map(({ action }) => action));
  if (actions.has("disable-family")) return "disable";
  if (actions.has("withdraw")) return "withdraw";
  return actions.has("discard") ? "discard" : "ok";
}

describe("an UPDATE with (RFC 7606)", () => {
  for (const test of MALFORMED_CASES) {
    it(`${test.what} (${test.section}): ${test.outcome}`, () => {
      const result = run(test);
      if (result instanceof MessageError) {
        assert.equal(`reset ${result.subcode}`, test.outcome);
        assert.equal(result.notificationCode, 3);
        return;
      }
      assert.equal(worst(result), test.outcome, JSON.stringify(result.problems));
      const prefix = test.ipv6 ? "fd00:1::/32" : "192.168.1.0/24";
      const has = (lists: readonly Iterable<string>[]) => lists.some(list => [...list].includes(prefix));
      const isAnnounced = has(result.announced.map(({ nlri }) => nlri));
      if (test.outcome === "withdraw") {
        assert.ok(!isAnnounced);
        assert.ok(has(result.withdrawn));
      } else if (test.outcome !== "disable" && test.nlri !== "") assert.ok(isAnnounced);
    });
  }

  it("withdrawn routes that overrun the message (4): reset", () => {
    assert.throws(
      () => decodeUpdate(Uint8Array.of(0, 9, 0, 0), { ebgp: false, fourOctetAs: true }),
      MessageError,
    );
  });
  it("an attribute list that overruns the message (4): reset", () => {
    assert.throws(
      () => decodeUpdate(Uint8Array.of(0, 0, 0, 9), { ebgp: false, fourOctetAs: true }),
      MessageError,
    );
  });
});
