/** Options of real sockets, seen from the other end of a cable. Needs root; Linux. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { acceptAll, type NeighborStatus, type Speaker, type SpeakerWarning } from "../../index.ts";
import { getSocketOption } from "../../transport/native.ts";
import { CableLab, LEFT, LEFT6, RIGHT, RIGHT6 } from "../kit/cable-lab.ts";
import { until } from "../kit/namespaces.ts";

/** Long enough for several dials; what must not come up is watched for so long. */
const WATCH_MS = 2_500;

function established(speaker: Speaker, address: string): Promise<NeighborStatus> {
  return speaker.established(address, { signal: AbortSignal.timeout(8_000) });
}

const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const SO_DOMAIN = 39;
const AF_INET6 = 10;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_INFO = 11;
const IPPROTO_IPV6 = 41;
const IPV6_TCLASS = 67;

/** The first byte: all the values here are small. */
function option(fd: number, level: number, name: number): number | undefined {
  return getSocketOption(fd, level, name, 4, "a test")?.[0];
}

/** Both ends of every connection, as both are in this process. */
function establishedSockets(): number[] {
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  return descriptors.filter(fd => option(fd, IPPROTO_TCP, TCP_INFO) === 1);
}

async function neverEstablished(speaker: Speaker, address: string): Promise<void> {
  const waiting = speaker.established(address, { signal: AbortSignal.timeout(WATCH_MS) });
  await assert.rejects(waiting, { name: "TimeoutError" });
}

describe("real sockets", function () {
  this.timeout(30_000);
  let lab: CableLab;

  before(function () {
    if (process.getuid?.() !== 0) {
      process.stdout.write("    skipped: needs root\n");
      this.skip();
    }
    lab = new CableLab();
    lab.addSecondCable();
  });
  afterEach(() => lab?.endSpeakers());
  after(() => lab?.close());

  describe("listen", () => {
    it("on port 179 of all addresses of both versions by default", async () => {
      const right = await lab.speaker(
        "right",
        {},
        { address: LEFT, asn: 64512 },
        { address: LEFT6, asn: 64512 },
      );
      assert.equal(right.port, 179);
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: RIGHT, asn: 64513 },
        { address: RIGHT6, asn: 64513 },
      );
      await Promise.all([established(left, RIGHT), established(left, RIGHT6)]);
      assert.equal(right.neighbor(LEFT)?.localAddress, RIGHT);
      assert.equal(right.neighbor(LEFT6)?.localAddress, RIGHT6);
    });

    it("on another port and only on the addresses named, with room for a burst of dials", async () => {
      await lab.speaker("right", { listen: { port: 1790, addresses: [RIGHT, RIGHT6] } });
      const sockets = lab.exec("right", "ss", "-Hltn");
      const listening = sockets
        .trim()
        .split("\n")
        .map(line => line.split(/\s+/));
      assert.deepEqual(listening.map(([, , , local]) => local).sort(), [`${RIGHT}:1790`, `[${RIGHT6}]:1790`]);
      assert(
        listening.every(([, , backlog]) => backlog === "1024"),
        sockets,
      );
    });

    it("on an address that comes later", async () => {
      const warnings: SpeakerWarning[] = [];
      const right = await lab.speaker("right", { listen: { addresses: [RIGHT, "10.99.0.77"] } });
      right.onWarning(warning => warnings.push(warning));
      assert.deepEqual(right.listening, { addresses: [RIGHT], pending: ["10.99.0.77"] });
      right.addNeighbor({ address: LEFT, asn: 64512, passive: true });
      const left = await lab.speaker("left", { listen: false }, { address: "10.99.0.77", asn: 64513 });
      lab.ip("right", "addr", "add", "10.99.0.77/24", "dev", "eth0");
      try {
        // The retry makes its socket where the test's thread is, so it has to be there.
        await lab.at("right", () =>
          until("listening", () => (right.listening.pending.length === 0 ? true : undefined)),
        );
        await established(left, "10.99.0.77");
      } finally {
        lab.ip("right", "addr", "del", "10.99.0.77/24", "dev", "eth0");
      }
      assert.deepEqual(warnings, []);
    });

    it("says that a port is taken by code, address and port", async () => {
      await lab.speaker("right", { listen: { addresses: [RIGHT] } });
      await assert.rejects(lab.speaker("right", { listen: { addresses: [RIGHT6, RIGHT] } }), {
        detail: { code: "ListenFailed", address: RIGHT, port: 179, system: "EADDRINUSE" },
      });
      const again = await lab.speaker("right", { listen: { addresses: [RIGHT6] } });
      assert.equal(again.port, 179, "the address it could have was given back");
    });

    it("elsewhere from now on, without touching the sessions", async () => {
      const right = await lab.speaker("right", {}, { address: LEFT, asn: 64512 });
      const left = await lab.speaker("left", { listen: false }, { address: RIGHT, asn: 64513 });
      await established(left, RIGHT);
      await lab.at("right", () => right.reconfigure({ listen: { port: 1790, addresses: [RIGHT] } }));
      assert.equal(left.neighbor(RIGHT)?.state, "Established");
      left.updateNeighbor({ address: RIGHT, asn: 64513, port: 1790, connectRetryTime: 1 });
      left.resetNeighbor(RIGHT);
      await until("again", () => (left.neighbor(RIGHT)?.established === 2 ? true : undefined));
    });

    it("only by one interface, where asked", async () => {
      await lab.speaker("right", { listen: { interface: "eth1" } });
      const direct = connect({ host: "10.98.0.2", port: 179 });
      await once(direct, "connect");
      direct.destroy();
      const other = connect({ host: RIGHT, port: 179 });
      await assert.rejects(once(other, "connect"), { code: "ECONNREFUSED" });
    });
  });

  describe("the path to a neighbor", () => {
    it("begins at the source address", async () => {
      lab.ip("left", "addr", "add", "10.99.0.50/24", "dev", "eth0");
      const right = await lab.speaker("right", {}, { address: "10.99.0.50", asn: 64512 });
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: RIGHT, asn: 64513, localAddress: "10.99.0.50" },
      );
      await established(left, RIGHT);
      assert.equal(right.neighbor("10.99.0.50")?.state, "Established");
      lab.ip("left", "addr", "del", "10.99.0.50/24", "dev", "eth0");
    });

    it("begins at the interface, when we dial", async () => {
      // The way to the loopback address goes over either cable; the usual one is eth0.
      lab.ip("right", "addr", "add", "10.7.7.7/32", "dev", "lo");
      lab.ip("left", "route", "add", "10.7.7.7", "via", RIGHT, "dev", "eth0", "metric", "1");
      lab.ip("left", "route", "add", "10.7.7.7", "via", "10.98.0.2", "dev", "eth1", "metric", "2");
      const right = await lab.speaker(
        "right",
        {},
        { address: "10.98.0.1", asn: 64512 },
        { address: LEFT, asn: 64512 },
      );
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: "10.7.7.7", asn: 64513, interface: "eth1" },
      );
      await established(right, "10.98.0.1");
      left.updateNeighbor({ address: "10.7.7.7", asn: 64513, interface: "eth0", connectRetryTime: 1 });
      await established(right, LEFT);
    });

    it("ends at the interface, when we are dialled", async () => {
      // 10.99.0.1 reaches us by eth1 when the other side sends it there.
      lab.ip("left", "route", "add", "10.98.0.2/32", "dev", "eth1", "src", LEFT);
      lab.ip("right", "route", "add", "10.99.0.1/32", "dev", "eth1");
      try {
        const neighbor = { address: LEFT, asn: 64512, passive: true };
        const right = await lab.speaker("right", {}, { ...neighbor, interface: "eth0" });
        const left = await lab.speaker(
          "left",
          { listen: false },
          { address: "10.98.0.2", asn: 64513, localAddress: LEFT },
        );
        await neverEstablished(left, "10.98.0.2");
        right.updateNeighbor({ ...neighbor, interface: "eth1" });
        await established(left, "10.98.0.2");
      } finally {
        lab.ip("left", "route", "del", "10.98.0.2/32", "dev", "eth1");
        lab.ip("right", "route", "del", "10.99.0.1/32", "dev", "eth1");
      }
    });

    it("goes by link-local addresses, the same one behind two interfaces", async () => {
      for (const name of ["eth0", "eth1"]) {
        lab.ip("left", "addr", "add", "fe80::1/64", "dev", name, "nodad");
        lab.ip("right", "addr", "add", "fe80::2/64", "dev", name, "nodad");
      }
      const right = await lab.speaker(
        "right",
        {},
        { address: "fe80::1%eth0", asn: 64512 },
        { address: "fe80::1", interface: "eth1", asn: 64512 },
      );
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: "fe80::2%eth0", asn: 64513, localAddress: "fe80::1%eth0" },
        { address: "fe80::2%eth1", asn: 64513, localAddress: "fe80::1%eth1" },
      );
      await Promise.all([established(left, "fe80::2%eth0"), established(left, "fe80::2%eth1")]);
      assert.equal(right.neighbor("fe80::1%eth1")?.localAddress, "fe80::2%eth1");
    });

    it("carries CS6, no Nagle delay and no TCP keepalives, both ways and in both versions", async () => {
      const right = await lab.speaker(
        "right",
        {},
        { address: LEFT, asn: 64512 },
        { address: LEFT6, asn: 64512, ttlSecurity: 1 },
      );
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: RIGHT, asn: 64513 },
        { address: RIGHT6, asn: 64513, ttlSecurity: 1 },
      );
      await Promise.all([established(left, RIGHT), established(left, RIGHT6)]);
      await Promise.all([established(right, LEFT), established(right, LEFT6)]);
      const sockets = establishedSockets();
      assert.equal(sockets.length, 4);
      for (const fd of sockets) {
        const isIpv6 = option(fd, SOL_SOCKET, SO_DOMAIN) === AF_INET6;
        const trafficClass = isIpv6 ? option(fd, IPPROTO_IPV6, IPV6_TCLASS) : option(fd, IPPROTO_IP, IP_TOS);
        assert.equal(trafficClass, 0xc0);
        assert.equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        assert.equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
      }
    });
  });

  describe("GTSM", () => {
    for (const [ours, theirs] of [
      [LEFT, RIGHT],
      [LEFT6, RIGHT6],
    ] as const) {
      it(`holds between two sides that want it (${theirs})`, async () => {
        const right = await lab.speaker("right", {}, { address: ours, asn: 64512, ttlSecurity: 1 });
        const left = await lab.speaker(
          "left",
          { listen: false },
          { address: theirs, asn: 64513, ttlSecurity: 1 },
        );
        await established(left, theirs);
        left.announce({ prefix: "10.1.0.0/16" });
        left.announce({ prefix: "fd10::/64" });
        await until("routes", () => ([...right.routes()].length === 1 ? true : undefined));
      });

      it(`keeps out who may be further away (${theirs})`, async () => {
        await lab.speaker("right", {}, { address: ours, asn: 64512, ttlSecurity: 1 });
        const left = await lab.speaker("left", { listen: false }, { address: theirs, asn: 64513 });
        await neverEstablished(left, theirs);
      });
    }
  });

  describe("TCP MD5", () => {
    const SECRET = "open sesame";

    for (const [ours, theirs] of [
      [LEFT, RIGHT],
      [LEFT6, RIGHT6],
    ] as const) {
      it(`lets in who knows the password, and nobody else (${theirs})`, async () => {
        const right = await lab.speaker("right", {}, { address: ours, asn: 64512, password: SECRET });
        const options = { address: theirs, asn: 64513, connectRetryTime: 1 };
        const left = await lab.speaker("left", { listen: false }, { ...options, password: "guess" });
        await neverEstablished(left, theirs);
        left.updateNeighbor(options);
        await neverEstablished(left, theirs);
        left.updateNeighbor({ ...options, password: SECRET });
        await established(left, theirs);
        assert.equal(right.neighbor(ours)?.state, "Established");
      });
    }

    it("changes a key on the live listener without dropping another neighbor", async () => {
      const other = { address: LEFT6, asn: 64512, password: SECRET, passive: true };
      const changed = { address: LEFT, asn: 64512, password: SECRET, passive: true };
      const right = await lab.speaker("right", {}, other, changed);
      const left = await lab.speaker(
        "left",
        { listen: false },
        { address: RIGHT6, asn: 64513, password: SECRET },
        { address: RIGHT, asn: 64513, password: SECRET },
      );
      await Promise.all([established(left, RIGHT), established(left, RIGHT6)]);
      right.updateNeighbor({ ...changed, password: "another" });
      await until("down", () => (left.neighbor(RIGHT)?.state === "Established" ? undefined : true));
      await neverEstablished(left, RIGHT);
      left.updateNeighbor({ address: RIGHT, asn: 64513, password: "another", connectRetryTime: 1 });
      await established(left, RIGHT);
      right.removeNeighbor(LEFT);
      right.addNeighbor({ address: LEFT, asn: 64512, passive: true });
      left.updateNeighbor({ address: RIGHT, asn: 64513, connectRetryTime: 1 });
      await established(left, RIGHT);
      assert.equal(left.neighbor(RIGHT6)?.established, 1);
      assert.equal(left.neighbor(RIGHT6)?.state, "Established");
    });

    it("asks the neighbors of a prefix for one password, with one key, in both versions", async () => {
      const right = await lab.speaker("right");
      const options = { importPolicy: acceptAll, exportPolicy: acceptAll, ttlSecurity: 1 };
      right.addDynamicNeighbors({
        ...options,
        prefix: "10.99.0.0/24",
        asn: [[64512, 64600]],
        password: SECRET,
      });
      right.addDynamicNeighbors({ ...options, prefix: "fd99::/64", asn: 64512, password: SECRET });
      const theirs = [RIGHT, RIGHT6].map(address => ({
        address,
        asn: 64513,
        connectRetryTime: 1,
        ttlSecurity: 1,
      }));
      const left = await lab.speaker("left", { listen: false });
      for (const neighbor of theirs) left.addNeighbor({ ...neighbor, password: "guess" });
      await neverEstablished(left, RIGHT);
      assert.deepEqual(right.neighbors(), []);
      for (const neighbor of theirs) left.updateNeighbor({ ...neighbor, password: SECRET });
      await Promise.all([established(left, RIGHT), established(left, RIGHT6)]);
      assert.deepEqual(
        right
          .neighbors()
          .map(({ address }) => address)
          .sort(),
        [LEFT, LEFT6],
      );
      right.updateDynamicNeighbors({ ...options, prefix: "fd99::/64", asn: 64512, password: "another" });
      await until("down", () => (left.neighbor(RIGHT6)?.state === "Established" ? undefined : true));
      await neverEstablished(left, RIGHT6);
      assert.equal(left.neighbor(RIGHT)?.established, 1, "the other prefix noticed nothing");
    });

    it("has an own key for a more specific prefix and for an address within", async () => {
      const right = await lab.speaker("right");
      right.addDynamicNeighbors({ prefix: "10.99.0.0/24", asn: 64512, password: "wide" });
      right.addDynamicNeighbors({ prefix: "10.99.0.0/28", asn: 64512, password: "narrow" });
      const left = await lab.speaker("left", { listen: false });
      left.addNeighbor({ address: RIGHT, asn: 64513, password: "narrow", connectRetryTime: 1 });
      await established(left, RIGHT);
      right.addNeighbor({ address: LEFT, asn: 64512, password: "own", passive: true });
      left.updateNeighbor({ address: RIGHT, asn: 64513, password: "own", connectRetryTime: 1 });
      await until("again", () => (right.neighbor(LEFT)?.state === "Established" ? true : undefined));
      right.removeNeighbor(LEFT);
      left.updateNeighbor({ address: RIGHT, asn: 64513, password: "narrow", connectRetryTime: 1 });
      await established(left, RIGHT);
      assert.equal(right.neighbor(LEFT)?.dynamic, "10.99.0.0/28");
    });

    it("says before it happens, and when it does, that the kernel has no room for more keys", async () => {
      lab.exec("right", "sysctl", "-qw", "net.core.optmem_max=8192");
      try {
        const right = await lab.speaker("right", { listen: { addresses: [RIGHT] } });
        const warnings: SpeakerWarning[] = [];
        right.onWarning(warning => warnings.push(warning));
        const add = (i: number) =>
          right.addNeighbor({
            address: `10.50.${i >> 8}.${i & 255}`,
            asn: 64512,
            passive: true,
            password: SECRET,
          });
        const failure = await lab.at("right", async () => {
          for (let i = 1; i < 1000; i++) {
            try {
              add(i);
            } catch (error) {
              return { error: error as Error & { detail: object }, fitted: i - 1 };
            }
          }
          return undefined;
        });
        const room = failure!.fitted;
        assert.deepEqual(failure!.error.detail, {
          code: "PasswordRoom",
          room,
          optionMemory: 8192,
          needed: 16_384,
        });
        assert.match(failure!.error.message, /net\.core\.optmem_max = 8192 bytes holds \d+ TCP MD5 keys/);
        assert.equal(right.neighbors().length, room, "the one without a key is not there");
        const [warning] = warnings;
        assert(warning?.code === "PasswordRoom", "warned");
        assert.equal(warnings.length, 1);
        assert.equal(warning.room, room, "the warning knew how many fit");
        assert(warning.keys < room);
        lab.exec("right", "sysctl", "-qw", `net.core.optmem_max=${warning.needed}`);
        add(998);
      } finally {
        lab.exec("right", "sysctl", "-qw", "net.core.optmem_max=131072");
      }
    });
  });
});
