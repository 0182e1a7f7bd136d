/** What BFD does to BGP (RFC 5882, 9384), with BFD played by the test. */

import assert from "node:assert/strict";
import type { NeighborBfdOptions } from "../../index.ts";
import { Lab, type LabSpeaker, prefixesOf, stateOf } from "../kit/lab.ts";
import { SimBfdService } from "../kit/sim-bfd-service.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const BLOCK_B = "192.168.2.0/26";

describe("a neighbor watched by BFD", () => {
  let lab: Lab;
  let bfd: SimBfdService;
  let a: LabSpeaker;
  let b: LabSpeaker;

  /** A watches B; both Established unless BFD holds A back. */
  async function watching(options: true | NeighborBfdOptions = true): Promise<void> {
    lab = new Lab();
    bfd = new SimBfdService();
    a = lab.speaker(A, 64512, { bfd });
    b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1, bfd: options });
    b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
    b.announce({ prefix: BLOCK_B });
    await lab.start(a, b);
    lab.advance(3);
  }

  const lastError = (speaker: LabSpeaker, address: string) => speaker.neighbor(address)?.lastError;

  it("has a BFD session with the settings of the neighbor, from start to stop", async () => {
    await watching({ transmitInterval: 50, receiveInterval: 60, multiplier: 5, multihop: false });
    assert.deepEqual(bfd.added, [
      {
        address: B,
        localAddress: undefined,
        interface: undefined,
        multihop: false,
        minimumTtl: undefined,
        transmitInterval: 50,
        receiveInterval: 60,
        multiplier: 5,
        pollInterval: 10_000,
      },
    ]);
    assert.equal(a.neighbor(B)?.bfd?.state, "Down");
    assert.equal(a.bfd?.thread, "running");
    await a.stop();
    assert.equal(bfd.sessions.size, 0);
  });

  it("does not wait for BFD, for the neighbor may have none", async () => {
    await watching();
    assert.equal(stateOf(a, B), "Established");
    lab.advance(600);
    assert.equal(stateOf(a, B), "Established");
  });

  it("loses its session and its routes at once when BFD says down", async () => {
    await watching();
    bfd.up(B);
    assert.deepEqual(prefixesOf(a), [BLOCK_B]);
    bfd.down(B);
    lab.clock.settle();
    assert.notEqual(stateOf(a, B), "Established");
    assert.deepEqual(prefixesOf(a), []);
    const error = lastError(a, B);
    assert.deepEqual([error?.code, error?.subcode], [6, 10]);
    assert.equal(error?.text, "Cease/BFD Down: Control Detection Time Expired");
  });

  it("is told Cease/BFD Down, where the path still carries it", async () => {
    await watching();
    bfd.up(B);
    bfd.down(B, "neighbor-down");
    lab.advance(0.1);
    assert.match(lastError(b, A)!.text, /BFD Down/);
  });

  it("is back as soon as BFD is, however long the session would have waited", async () => {
    await watching();
    for (let flap = 0; flap < 6; flap++) {
      bfd.up(B);
      lab.advance(0.1);
      bfd.down(B);
      lab.advance(3);
    }
    lab.network.cut(A, B);
    bfd.up(B);
    bfd.down(B);
    lab.advance(120);
    lab.network.heal();
    bfd.up(B);
    lab.advance(10);
    assert.equal(stateOf(a, B), "Established");
    assert.deepEqual(prefixesOf(a), [BLOCK_B]);
  });

  it("keeps its session when it shuts BFD down (RFC 5882 3.2)", async () => {
    await watching();
    bfd.up(B);
    bfd.down(B, "neighbor-admin-down");
    lab.advance(60);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(a.neighbor(B)?.established, 1);
  });

  it("keeps its session when BFD goes down that has not been up", async () => {
    await watching();
    bfd.down(B);
    lab.advance(60);
    assert.equal(a.neighbor(B)?.established, 1);
  });

  it("keeps its routes over BFD down where it is told to, and graceful restart was negotiated", async () => {
    await watching({ keepRoutes: true });
    bfd.up(B);
    lab.network.cut(A, B);
    bfd.down(B);
    lab.clock.settle();
    assert.notEqual(stateOf(a, B), "Established");
    assert.deepEqual(prefixesOf(a), [BLOCK_B]);
    assert.ok(a.neighbor(B)?.restarting);
    assert.equal(lastError(a, B)?.text, "Cease/BFD Down: Control Detection Time Expired");
  });

  it("that is away for a graceful restart is not given up because BFD misses it (RFC 5882 4.3.2.2)", async () => {
    await watching();
    bfd.up(B);
    await b.stop({ graceful: true });
    lab.advance(0.1);
    assert.ok(a.neighbor(B)?.restarting);
    bfd.down(B);
    lab.advance(1);
    assert.ok(a.neighbor(B)?.restarting);
    assert.deepEqual(prefixesOf(a), [BLOCK_B]);
  });

  it("hears the end of BFD after that of its session, when we go for a graceful restart", async () => {
    await watching();
    bfd.up(B);
    const stopped = a.stop({ graceful: true });
    assert.ok(bfd.sessions.has(B));
    lab.advance(0.02);
    assert.notEqual(stateOf(b, A), "Established");
    assert.ok(bfd.sessions.has(B), "frr and bird would give up our routes");
    bfd.down(B);
    bfd.up(B);
    lab.advance(0.1);
    await stopped;
    assert.equal(bfd.sessions.size, 0);
    assert.equal(stateOf(a, B), "Idle", "and BFD brings nothing back");
  });

  describe("strictly", () => {
    it("has no session before BFD is up, whoever dials", async () => {
      await watching({ strict: true });
      lab.advance(60);
      assert.equal(stateOf(a, B), "Idle");
      bfd.up(B);
      lab.advance(10);
      assert.equal(stateOf(a, B), "Established");
    });

    it("has none while BFD is down", async () => {
      await watching({ strict: true });
      bfd.up(B);
      lab.advance(10);
      bfd.down(B);
      lab.advance(60);
      assert.equal(stateOf(a, B), "Idle");
      bfd.up(B);
      lab.advance(10);
      assert.equal(stateOf(a, B), "Established");
    });

    it("goes on with one when the neighbor shuts BFD down", async () => {
      await watching({ strict: true });
      bfd.up(B);
      lab.advance(10);
      bfd.down(B, "neighbor-admin-down");
      lab.advance(60);
      assert.equal(a.neighbor(B)?.established, 1);
      assert.equal(stateOf(a, B), "Established");
    });

    it("begins when it need not be strict any more", async () => {
      await watching({ strict: true });
      a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1, bfd: { strict: false } });
      lab.advance(10);
      assert.equal(stateOf(a, B), "Established");
    });
  });

  describe("reconfigured", () => {
    const update = (options: boolean | NeighborBfdOptions) =>
      a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1, bfd: options });

    it("gets other timers in the same BFD session, and keeps its BGP session", async () => {
      await watching();
      bfd.up(B);
      update({ transmitInterval: 100 });
      assert.equal(bfd.added.length, 1);
      assert.equal(bfd.sessions.get(B)?.transmitInterval, 100);
      assert.equal(a.neighbor(B)?.established, 1);
      bfd.down(B);
      assert.notEqual(stateOf(a, B), "Established", "and is still watched");
    });

    it("gets another BFD session where that leads elsewhere", async () => {
      await watching({ multihop: true });
      bfd.up(B);
      update({ multihop: false });
      assert.equal(bfd.added.length, 2);
      assert.equal(stateOf(a, B), "Established");
    });

    it("without BFD is watched no more", async () => {
      await watching();
      bfd.up(B);
      update(false);
      assert.equal(bfd.sessions.size, 0);
      assert.equal(a.neighbor(B)?.bfd, undefined);
      assert.equal(stateOf(a, B), "Established");
    });

    it("with BFD is watched from then on", async () => {
      await watching();
      update(false);
      update(true);
      bfd.up(B);
      bfd.down(B);
      assert.notEqual(stateOf(a, B), "Established");
    });
  });

  it("removed leaves no BFD session behind", async () => {
    await watching();
    bfd.up(B);
    a.removeNeighbor(B);
    assert.equal(bfd.sessions.size, 0);
  });

  it("may be as far away as TTL security allows, over several hops", async () => {
    await watching();
    a.addNeighbor({ address: "10.0.0.9", asn: 64512, ttlSecurity: 3, bfd: true });
    assert.equal(bfd.sessions.get("10.0.0.9")?.multihop, true);
    assert.equal(bfd.sessions.get("10.0.0.9")?.minimumTtl, 253);
  });
});
