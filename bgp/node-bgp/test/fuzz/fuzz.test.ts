/** A few seconds of fuzzing with every run; `node bgp/node-bgp/test/fuzz/main.ts` does millions. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { MessageError } from "../../errors.ts";
import { decodeUpdate } from "../../message/update.ts";
import { updateBody } from "../kit/rfc7606-cases.ts";
import { fuzzCodec } from "./codec-fuzz.ts";
import { fuzzSession } from "./session-fuzz.ts";
import { sessionVerdict } from "./update-oracle.ts";

describe("random input", () => {
  const seed = Number(process.env["FUZZ_SEED"] ?? 1);

  it("is answered by every decoder, and costs the session only where it must", () => {
    const { resets, scanned } = fuzzCodec({ inputs: 40_000, seed });
    assert.ok(resets > 1000, "the inputs reach the places where sessions are reset");
    assert.ok(scanned > 1000, "the inputs reach the hot path");
  });

  it("does a live session no harm, and nothing malformed is passed on", async () => {
    const { resets, reflected } = await fuzzSession({ inputs: 5_000, seed });
    assert.ok(resets > 100, "the inputs reach the places where sessions are reset");
    assert.ok(reflected > 100, "the inputs reach the RIB");
  }).timeout(20_000);

  it("in one attribute of a sound UPDATE never costs the session", () => {
    const type = fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 32);
    const attribute = fc.record({ type, flags: fc.nat(255), value: fc.uint8Array({ maxLength: 40 }) });
    fc.assert(
      fc.property(fc.array(attribute, { maxLength: 6 }), fc.boolean(), (attributes, ebgp) => {
        const hex = attributes.map(({ type, flags, value }) => {
          const short = Uint8Array.of(flags & ~0x10, type, value.length, ...value);
          return Buffer.from(short).toString("hex");
        });
        const body = updateBody({ attributes: hex.join("") });
        assert.equal(sessionVerdict(body), "lives");
        assert.doesNotThrow(() => decodeUpdate(body, { ebgp, fourOctetAs: true }), MessageError);
      }),
      { numRuns: 2_000, seed },
    );
  });
});
