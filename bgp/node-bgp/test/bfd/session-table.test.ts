import assert from "node:assert/strict";
import fc from "fast-check";
import { SessionState } from "../../bfd/constants.ts";
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from "../../bfd/control-packet.ts";
import { SessionWord } from "../../bfd/worker-protocol.ts";
import { anyPacket } from "../kit/bfd-packets.ts";
import { SimBfdHost, type SimPacket } from "../kit/sim-bfd-network.ts";
import { SimClock } from "../kit/sim-clock.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

const FIRST: ControlPacket = {
  diagnostic: 0,
  state: SessionState.down,
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  authenticated: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 77,
  yourDiscriminator: 0,
  desiredMinTx: 1_000_000,
  requiredMinRx: 300_000,
  requiredMinEchoRx: 0,
};

describe("the BFD session table", () => {
  let clock: SimClock;
  let hosts: Map<string, SimBfdHost>;
  let a: SimBfdHost;
  let b: SimBfdHost;
  let isCut: boolean;

  beforeEach(() => {
    clock = new SimClock();
    hosts = new Map();
    isCut = false;
    const deliver = (packet: SimPacket) => {
      if (!isCut) hosts.get(packet.to)?.receive(packet);
    };
    a = new SimBfdHost(clock, A, 100, deliver);
    b = new SimBfdHost(clock, B, 200, deliver);
    hosts.set(A, a).set(B, b);
  });

  /** A packet for A as it would come from B. */
  function packet(changes: Partial<SimPacket> = {}, content: Partial<ControlPacket> = {}): SimPacket {
    const bytes = encodeControlPacket({ ...FIRST, ...content });
    return { from: B, to: A, multihop: false, ttl: 255, interfaceIndex: 1, bytes, ...changes };
  }

  function bothUp(): void {
    a.add({ address: B });
    b.add({ address: A });
    clock.advance(3_000);
    assert.ok(a.isUp(0) && b.isUp(0));
  }

  it("brings two neighbors up", () => {
    bothUp();
    assert.deepEqual(a.causes(0).at(-1), "handshake");
    assert.equal(a.words(0)[SessionWord.ups], 1);
    assert.ok(a.words(0)[SessionWord.sent]! > 3 && a.words(0)[SessionWord.received]! > 3);
  });

  describe("whose packet it is", () => {
    it("is said by Your Discriminator, whatever the source address", () => {
      bothUp();
      const { received } = SessionWord;
      const before = a.words(0)[received]!;
      a.receive(packet({ from: "10.9.9.9" }, { yourDiscriminator: 100, state: SessionState.up }));
      assert.equal(a.words(0)[received], before + 1);
    });

    it("is nobody's with a discriminator that is not ours", () => {
      bothUp();
      a.receive(packet({}, { yourDiscriminator: 101, state: SessionState.down }));
      assert.equal(a.discarded("no-session"), 1);
      assert.ok(a.isUp(0));
    });

    it("is said by the source address in the first one", () => {
      a.add({ address: "10.0.0.3" });
      a.add({ address: B });
      a.receive(packet());
      assert.equal(a.state(0), "Down");
      assert.equal(a.state(1), "Init");
      a.receive(packet({ from: "10.0.0.4" }));
      assert.equal(a.discarded("no-session"), 1);
    });

    it("is said by the interface, where several lead to the same address", () => {
      a.add({ address: "fe80::2%eth1" });
      a.add({ address: "fe80::2%eth2" });
      a.receive(packet({ from: "fe80::2", to: "fe80::1", interfaceIndex: 2 }));
      assert.equal(a.state(0), "Down");
      assert.equal(a.state(1), "Init");
      a.receive(packet({ from: "fe80::2", to: "fe80::1", interfaceIndex: 3 }));
      assert.equal(a.discarded("no-session"), 1);
    });

    it("must come on the session's interface also with our discriminator", () => {
      a.add({ address: B, interface: "eth1" });
      a.receive(packet({ interfaceIndex: 2 }, { yourDiscriminator: 100 }));
      assert.equal(a.discarded("no-session"), 1);
      a.receive(packet({ interfaceIndex: 1 }, { yourDiscriminator: 100 }));
      assert.equal(a.state(0), "Init");
    });

    it("is said by the address it was sent to, where the session has one", () => {
      a.add({ address: B, localAddress: "10.0.0.11", multihop: true });
      a.add({ address: B, localAddress: "10.0.0.12", multihop: true });
      a.receive(packet({ to: "10.0.0.12", multihop: true }));
      assert.equal(a.state(0), "Down");
      assert.equal(a.state(1), "Init");
    });

    it("is not the single-hop session's on the multihop port, nor the other way round", () => {
      a.add({ address: B });
      a.receive(packet({ multihop: true }));
      a.receive(packet({ multihop: true }, { yourDiscriminator: 100 }));
      assert.equal(a.discarded("no-session"), 2);
      assert.equal(a.state(0), "Down");
    });
  });

  describe("what it drops", () => {
    it("is what has come over a router, on one hop (RFC 5881 5)", () => {
      a.add({ address: B });
      a.receive(packet({ ttl: 254 }));
      assert.equal(a.discarded("ttl"), 1);
      assert.equal(a.state(0), "Down");
    });

    it("is what has come from too far, on several", () => {
      a.add({ address: B, multihop: true, minimumTtl: 250 });
      a.receive(packet({ multihop: true, ttl: 249 }));
      assert.equal(a.discarded("ttl"), 1);
      a.receive(packet({ multihop: true, ttl: 250 }));
      assert.equal(a.state(0), "Init");
    });

    it("is what is authenticated, for no session of ours is", () => {
      a.add({ address: B });
      const bytes = new Uint8Array(32);
      bytes.set(encodeControlPacket(FIRST));
      bytes[1] = bytes[1]! | 4;
      bytes[3] = bytes.length;
      bytes.set([1, 8], 24);
      assert.equal(typeof decodeControlPacket(bytes), "object");
      a.receive(packet({ bytes }));
      assert.equal(a.discarded("authentication"), 1);
      assert.equal(a.state(0), "Down");
    });

    it("is what is no packet, and none of it keeps a session up", () => {
      bothUp();
      isCut = true;
      for (let i = 0; i < 20; i++) {
        const bytes = encodeControlPacket({
          ...FIRST,
          yourDiscriminator: 100,
          state: SessionState.up,
        }).slice();
        bytes[2] = 0;
        a.receive(packet({ bytes }));
        a.receive(packet({ ttl: 1 }, { yourDiscriminator: 100, state: SessionState.up }));
        clock.advance(100);
      }
      assert.equal(a.discarded("multiplier"), 20);
      assert.equal(a.discarded("ttl"), 20);
      assert.equal(a.state(0), "Down");
    });
  });

  describe("removing a session", () => {
    it("tells the neighbor AdminDown for a detection time, and then no more", () => {
      bothUp();
      a.remove(0);
      clock.advance(10);
      assert.equal(b.causes(0).at(-1), "neighbor-admin-down");
      clock.advance(10_000);
      const farewells = a.sent.filter(({ bytes }) => (bytes[1]! & 0xc0) === 0);
      assert.ok(farewells.length >= 3 && farewells.length <= 5, `${farewells.length}`);
      assert.equal(a.notices.at(-1)!.tell, "removed");
      assert.equal(a.table.size, 0);
      assert.equal(a.table.deadline, Number.POSITIVE_INFINITY);
    });

    it("is silent to a neighbor that has never been heard", () => {
      a.add({ address: "10.0.0.3" });
      clock.advance(100);
      const before = a.sent.length;
      a.remove(0);
      clock.advance(5_000);
      assert.equal(a.sent.length, before);
      assert.equal(a.table.size, 0);
    });

    it("does not stand in the way of a new one to the same neighbor", () => {
      bothUp();
      a.remove(0);
      const id = a.add({ address: B });
      clock.advance(5_000);
      assert.ok(a.isUp(id) && b.isUp(0));
      assert.equal(a.table.size, 1);
    });
  });

  it("tells all neighbors AdminDown when it closes, so that none takes it for a failure", () => {
    bothUp();
    a.table.close();
    clock.advance(2);
    assert.deepEqual(b.causes(0).at(-1), "neighbor-admin-down");
  });

  it("reports once what keeps it from sending, and once that it is over", () => {
    bothUp();
    a.sendFails = "cannot send to 10.0.0.2: ENETDOWN";
    clock.advance(3_000);
    a.sendFails = undefined;
    clock.advance(3_000);
    const troubles = a.notices.flatMap(notice => (notice.tell === "trouble" ? [notice.text] : []));
    assert.deepEqual(troubles, ["cannot send to 10.0.0.2: ENETDOWN", undefined]);
    assert.ok(a.words(0)[SessionWord.sendErrors]! >= 2);
    assert.ok(a.isUp(0) && b.isUp(0), "and it comes back");
  });

  describe("after the thread has died", () => {
    it("goes on with a session that was Up, and the neighbor does not notice", () => {
      bothUp();
      const words = a.words(0);
      const discriminator = words[SessionWord.localDiscriminator];
      a.replaceThread();
      clock.advance(300);
      const id = a.add({ address: B }, words);
      clock.advance(10_000);
      assert.ok(a.isUp(id) && b.isUp(0));
      assert.equal(words[SessionWord.localDiscriminator], discriminator);
      assert.ok(!b.causes(0).includes("neighbor-down") && !b.causes(0).includes("detection-expired"));
      assert.ok(!a.causes(id).some(cause => cause !== "handshake"));
    });

    it("follows the neighbor where that has noticed", () => {
      bothUp();
      const words = a.words(0);
      a.replaceThread();
      clock.advance(2_000);
      assert.equal(b.causes(0).at(-1), "detection-expired");
      const id = a.add({ address: B }, words);
      clock.advance(1_100);
      assert.ok(a.causes(id).includes("neighbor-down"));
      clock.advance(3_000);
      assert.ok(a.isUp(id) && b.isUp(0));
    });

    it("begins anew with one that was not Up", () => {
      const id = a.add({ address: B });
      clock.advance(2_000);
      const words = a.words(id);
      a.replaceThread();
      b.add({ address: A });
      const again = a.add({ address: B }, words);
      clock.advance(3_000);
      assert.ok(a.isUp(again));
    });
  });

  it("survives whatever bytes come from wherever, and sends no more than it is asked to", () => {
    const mutation = fc.record({ at: fc.nat(23), byte: fc.nat(255) });
    const some = fc.record({
      mutations: fc.array(mutation, { maxLength: 4 }),
      length: fc.nat(40),
      packet: anyPacket,
      ours: fc.boolean(),
      multihop: fc.boolean(),
      from: fc.constantFrom(B, "10.9.9.9"),
      pause: fc.nat(500),
    });
    fc.assert(
      fc.property(fc.array(some), packets => {
        clock = new SimClock();
        a = new SimBfdHost(clock, A, 100, () => {});
        a.add({ address: B });
        a.add({ address: B, multihop: true });
        for (const { mutations, length, packet: content, ours, multihop, from, pause } of packets) {
          const bytes = new Uint8Array(length);
          const yourDiscriminator = ours ? (multihop ? 101 : 100) : content.yourDiscriminator;
          bytes.set(encodeControlPacket({ ...content, yourDiscriminator }).subarray(0, length));
          for (const { at, byte } of mutations) bytes[at] = byte;
          const before = a.sent.length;
          a.receive(packet({ bytes, multihop, from }));
          assert.ok(a.sent.length <= before + 1, "one answer at most");
          clock.advance(pause);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("keeps a hundred sessions apart", () => {
    const others = Array.from({ length: 100 }, (_, i) => {
      const address = `10.1.0.${i}`;
      const host = new SimBfdHost(clock, address, 1000 * (i + 1), packetOut => {
        hosts.get(packetOut.to)?.receive(packetOut);
      });
      hosts.set(address, host);
      a.add({ address });
      host.add({ address: A });
      return host;
    });
    clock.advance(5_000);
    assert.ok(others.every((host, i) => host.isUp(0) && a.isUp(i)));
    hosts.delete("10.1.0.42");
    clock.advance(2_000);
    assert.deepEqual(
      others.flatMap((_, i) => (a.isUp(i) ? [] : [i])),
      [42],
    );
  });
});
