import assert from "node:assert/strict";
import fc from "fast-check";
import { SessionState } from "../../bfd/constants.ts";
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from "../../bfd/control-packet.ts";
import { anyPacket } from "../kit/bfd-packets.ts";

const UP: ControlPacket = {
  diagnostic: 0,
  state: SessionState.up,
  poll: true,
  final: false,
  controlPlaneIndependent: false,
  authenticated: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 0x01020304,
  yourDiscriminator: 0xfffefdfc,
  desiredMinTx: 300_000,
  requiredMinRx: 1_000_000,
  requiredMinEchoRx: 0,
};

/** The bytes of {@link UP} with some changed. */
function changed(changes: Record<number, number>, length = 24): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(encodeControlPacket(UP).subarray(0, length));
  for (const [at, byte] of Object.entries(changes)) bytes[Number(at)] = byte;
  return bytes;
}

const YOUR_DISCRIMINATOR_ZERO = { 8: 0, 9: 0, 10: 0, 11: 0 };

describe("the BFD control packet", () => {
  it("is laid out as in RFC 5880 4.1", () => {
    assert.equal(
      Buffer.from(encodeControlPacket(UP)).toString("hex"),
      "20e00318" + "01020304" + "fffefdfc" + "000493e0" + "000f4240" + "00000000",
    );
  });

  it("decodes to what was encoded", () => {
    fc.assert(
      fc.property(anyPacket, packet => {
        assert.deepEqual(decodeControlPacket(encodeControlPacket(packet)), packet);
      }),
    );
  });

  it("may be followed by bytes that its Length does not count", () => {
    assert.deepEqual(decodeControlPacket(changed({}, 60)), UP);
  });

  for (const [what, bytes, reason] of [
    ["nothing at all", new Uint8Array(0), "length"],
    ["a version other than 1", changed({ 0: 0x40 }), "version"],
    ["version 0", changed({ 0: 0 }), "version"],
    ["fewer than 24 bytes", changed({}, 23), "length"],
    ["a Length below 24", changed({ 3: 23 }), "length"],
    ["a Length beyond the datagram", changed({ 3: 25 }), "length"],
    ["a Length below 26 with authentication", changed({ 1: 0xe4, 3: 25 }, 30), "length"],
    ["an authentication section longer than Length", changed({ 1: 0xe4, 3: 30, 24: 1, 25: 9 }, 40), "length"],
    ["Detect Mult 0", changed({ 2: 0 }), "multiplier"],
    ["the Multipoint bit", changed({ 1: 0xe1 }), "multipoint"],
    ["My Discriminator 0", changed({ 4: 0, 5: 0, 6: 0, 7: 0 }), "my-discriminator"],
    ["Your Discriminator 0 in Up", changed(YOUR_DISCRIMINATOR_ZERO), "your-discriminator"],
    ["Your Discriminator 0 in Init", changed({ ...YOUR_DISCRIMINATOR_ZERO, 1: 0x80 }), "your-discriminator"],
  ] as const) {
    it(`is none with ${what}`, () => {
      assert.equal(decodeControlPacket(bytes), reason);
    });
  }

  for (const [name, state] of [
    ["Down", SessionState.down],
    ["AdminDown", SessionState.adminDown],
  ] as const) {
    it(`may have Your Discriminator 0 in ${name}`, () => {
      const decoded = decodeControlPacket(changed({ ...YOUR_DISCRIMINATOR_ZERO, 1: state << 6 }));
      assert.ok(typeof decoded === "object");
      assert.equal(decoded.yourDiscriminator, 0);
      assert.equal(decoded.state, state);
    });
  }

  it("says that it is authenticated", () => {
    const decoded = decodeControlPacket(changed({ 1: 0xe4, 3: 30, 24: 1, 25: 6 }, 30));
    assert.ok(typeof decoded === "object" && decoded.authenticated);
  });

  it("never throws, and never accepts what an encoder cannot have made", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), bytes => {
        const decoded = decodeControlPacket(bytes);
        if (typeof decoded === "string") return;
        assert.ok(decoded.multiplier > 0 && decoded.myDiscriminator > 0);
        if (decoded.authenticated) return;
        assert.deepEqual(decodeControlPacket(encodeControlPacket(decoded)), decoded);
      }),
      { numRuns: 2000 },
    );
  });
});
