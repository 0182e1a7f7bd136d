import assert from "node:assert/strict";
import fc from "fast-check";
import {
  dscpNumber,
  formatDuration,
  formatPort,
  parseASNumber,
  parseDSCP,
  parseDuration,
  parsePort,
  parseProtocol,
  protocolHasPorts,
  protocolNumber,
  SCALARS,
  type ScalarName,
} from "../../../crd-schemas/scalars.ts";

describe("crd-schemas/scalars", () => {
  const canonical: Record<ScalarName, [string | number, string | number | undefined][]> = {
    Protocol: [
      ["tcp", "TCP"],
      ["UdpLite", "UDPLite"],
      ["ICMPV6", "ICMPv6"],
      ["6", 6],
      [255, 255],
      [256, undefined],
      [-1, undefined],
      [1.5, undefined],
      ["any", undefined],
      ["", undefined],
    ],
    Port: [
      [80, 80],
      ["80", 80],
      ["080", 80],
      ["1:65535", "1:65535"],
      ["80:80", 80],
      ["http-alt_1.x", "http-alt_1.x"],
      [0, undefined],
      ["0", undefined],
      [65536, undefined],
      ["2:1", undefined],
      ["1:65536", undefined],
      ["1:", undefined],
      ["a b", undefined],
      ["x".repeat(129), undefined],
      ["", undefined],
    ],
    ASNumber: [
      [64512, 64512],
      ["64512", 64512],
      ["1.0", 65536],
      ["65535.65535", 4294967295],
      ["4294967296", undefined],
      ["1.2.3", undefined],
      ["1.65536", undefined],
      ["AS1", undefined],
      [-1, undefined],
    ],
    DSCP: [
      [46, 46],
      ["ef", "EF"],
      ["AF43", "AF43"],
      ["10", 10],
      [64, undefined],
      ["AF44", undefined],
    ],
    Duration: [
      ["90s", "90s"],
      ["1h2m3.5s", "1h2m3.5s"],
      ["0", "0"],
      ["", ""],
      ["5", undefined],
      ["5 s", undefined],
      [5, undefined],
    ],
    IP: [
      ["10.0.0.1", "10.0.0.1"],
      ["fd00::1", "fd00::1"],
      ["10.0.0.1/32", undefined],
      ["010.0.0.1", undefined],
    ],
    CIDR: [
      ["10.0.0.0/8", "10.0.0.0/8"],
      ["fd00::/8", "fd00::/8"],
      ["10.0.0.1/8", undefined],
      ["10.0.0.1", undefined],
    ],
    Net: [
      ["10.0.0.0/8", "10.0.0.0/8"],
      ["10.0.0.1", "10.0.0.1"],
      ["10.0.0.1/8", undefined],
      ["10.0.0.0/33", undefined],
    ],
    UnmaskedNet: [
      ["10.0.0.1/8", "10.0.0.1/8"],
      ["10.0.0.1", "10.0.0.1"],
      ["10.0.0.1/", undefined],
    ],
    InterfaceAddress: [
      ["10.0.0.1/24", "10.0.0.1/24"],
      ["fd00::1", "fd00::1"],
      ["eth0", undefined],
    ],
    MAC: [
      ["ee:EE:ee:ee:ee:ee", "ee:EE:ee:ee:ee:ee"],
      ["ee-ee", undefined],
    ],
  };
  for (const [name, cases] of Object.entries(canonical) as [ScalarName, [string | number, unknown][]][]) {
    it(`${name}: reads and canonicalises`, () => {
      for (const [value, expected] of cases)
        assert.equal(SCALARS[name].parse(value), expected, JSON.stringify(value));
    });
  }

  it("protocols with ports are TCP, UDP and SCTP, by name or number", () => {
    const all = ["TCP", "UDP", "SCTP", "UDPLite", "ICMP", "ICMPv6"] as const;
    assert.deepEqual(all.filter(protocolHasPorts), ["TCP", "UDP", "SCTP"]);
    assert.deepEqual([6, 17, 132, 1, 136].filter(protocolHasPorts), [6, 17, 132]);
    assert.equal(protocolNumber(parseProtocol("sctp")!), 132);
  });

  it("a DSCP name stands for its bits", () => {
    assert.equal(dscpNumber(parseDSCP("AF11")!), 10);
    assert.equal(dscpNumber(parseDSCP("CS7")!), 56);
    assert.equal(dscpNumber(parseDSCP(63)!), 63);
  });

  it("durations are read as Go reads them", () => {
    const cases: [string, number | undefined][] = [
      ["0", 0],
      ["90s", 90_000],
      ["1m30s", 90_000],
      ["1.5h", 5_400_000],
      [".5s", 500],
      ["100ms", 100],
      ["2us", 0.002],
      ["2µs", 0.002],
      ["-1s", -1000],
      ["1d", undefined],
      ["s", undefined],
      ["1s ", undefined],
    ];
    for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
  });

  it("durations are written as Go writes them", () => {
    const cases: [number, string][] = [
      [0, "0s"],
      [1, "1ms"],
      [1.5, "1.5ms"],
      [0.0015, "1.5µs"],
      [1000, "1s"],
      [1500, "1.5s"],
      [90_000, "1m30s"],
      [3_600_000, "1h0m0s"],
      [5_430_250, "1h30m30.25s"],
      [-1000, "-1s"],
    ];
    for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
  });

  it("a duration survives being written and read", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 1e12 }), ms => parseDuration(formatDuration(ms)) === ms),
    );
  });

  it("a port range survives being written and read", () => {
    const port = fc.integer({ min: 1, max: 65535 });
    fc.assert(
      fc.property(port, port, (a, b) => {
        const range = { type: "range" as const, low: Math.min(a, b), high: Math.max(a, b) };
        assert.deepEqual(parsePort(formatPort(range)), range);
      }),
    );
  });

  it("an AS number in asdot is the one in plain", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffffffff }),
        n => parseASNumber(`${n >>> 16}.${n & 0xffff}`) === n,
      ),
    );
  });
});
