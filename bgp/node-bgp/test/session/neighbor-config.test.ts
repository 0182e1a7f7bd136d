import assert from "node:assert/strict";
import { Family, type NeighborOptions, OptionError, Speaker, type SpeakerOptions } from "../../index.ts";
import { needsNewSession, neighborConfig } from "../../session/neighbor-config.ts";

const SPEAKER: SpeakerOptions = { asn: 64512, routerId: "10.0.0.1" };

function config(options: Partial<NeighborOptions> = {}, speaker: Partial<SpeakerOptions> = {}) {
  return neighborConfig({ address: "10.0.0.2", asn: 64512, ...options }, { ...SPEAKER, ...speaker });
}

/** The name of the option that is complained of. */
function wrong(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert(error instanceof OptionError, `${error}`);
    return error.option;
  }
  return "nothing is wrong";
}

describe("options of a neighbor", () => {
  it("has a default for everything but address and AS", () => {
    const { policyNeighbor: _, ...rest } = config();
    assert.deepEqual(rest, {
      address: "10.0.0.2",
      asn: 64512,
      localAsn: 64512,
      type: "internal",
      port: 179,
      localAddress: undefined,
      interface: undefined,
      nextHopSelf: {},
      passive: false,
      passiveFallback: undefined,
      password: undefined,
      ttlSecurity: undefined,
      holdTime: 90,
      keepaliveTime: undefined,
      connectRetryTime: 5,
      sendHoldTime: undefined,
      delayOpenTime: 0,
      gracefulRestartTime: 120,
      longLivedStaleTime: {},
      notificationRestart: true,
      extendedMessages: true,
      enhancedRefresh: true,
      extendedNextHop: false,
      addPath: { receive: false, send: 1 },
      maxPrefixes: undefined,
      gracefulShutdown: false,
      bfd: undefined,
      softReconfiguration: false,
      reflectorClient: false,
      nextHopMode: "auto",
      allowedLocalAs: 0,
      families: [Family.ipv4Unicast],
      importPolicy: undefined,
      exportPolicy: undefined,
      policyMissing: [],
      exportGroup: undefined,
      description: undefined,
      dynamic: undefined,
    });
  });

  const wrongOptions: [option: string, options: Partial<NeighborOptions>][] = [
    ["address", { address: "rack4" }],
    ["address", { address: "fe80::1" }],
    ["interface", { address: "fe80::1%eth0", interface: "eth1" }],
    ["interface", { interface: "an-interface-name-too-long" }],
    ["interface", { interface: "eth 0" }],
    ["asn", { asn: 0 }],
    ["asn", { asn: 2 ** 32 }],
    ["port", { port: 0 }],
    ["holdTime", { holdTime: 2 }],
    ["delayOpenTime", { delayOpenTime: -1 }],
    ["delayOpenTime", { delayOpenTime: 65536 }],
    ["gracefulRestartTime", { gracefulRestartTime: 4096 }],
    ["longLivedStaleTime", { longLivedStaleTime: 2 ** 24 }],
    ["addPath.send", { addPath: { send: 0 } }],
    ["addPath.send", { addPath: { send: 256 } }],
    ["maxPrefixes.limit", { maxPrefixes: 0 }],
    ["maxPrefixes.limit", { maxPrefixes: { limit: 1.5 } }],
    ["maxPrefixes.action", { maxPrefixes: { limit: 1, action: "panic" as "warn" } }],
    ["maxPrefixes.restartAfter", { maxPrefixes: { limit: 1, restartAfter: 0 } }],
    ["bfd.transmitInterval", { bfd: { transmitInterval: 9 } }],
    ["bfd.receiveInterval", { bfd: { receiveInterval: 60_001 } }],
    ["bfd.multiplier", { bfd: { multiplier: 0 } }],
    ["bfd.pollInterval", { bfd: { pollInterval: 10 } }],
    ["password", { password: "x".repeat(81) }],
    ["ttlSecurity", { ttlSecurity: 255 }],
    ["reflectorClient", { asn: 64513, reflectorClient: true }],
    ["families", { families: [] }],
  ];
  for (const [option, options] of wrongOptions) {
    it(`says that ${option} is wrong in ${JSON.stringify(options).slice(0, 60)}`, () => {
      assert.equal(
        wrong(() => config(options)),
        option,
      );
    });
  }

  const wrongSpeakers: [option: string, options: Partial<SpeakerOptions>][] = [
    ["listen.port", { listen: { port: 65536 } }],
    ["listen.addresses", { listen: { addresses: [] } }],
    ["listen.addresses", { listen: { addresses: ["10.0.0.1", "eth0"] } }],
    ["multipath.maxPaths", { multipath: { maxPaths: 0 } }],
    ["gracefulRestart.longLivedStaleTime", { gracefulRestart: { longLivedStaleTime: -1 } }],
    ["routerId", { routerId: "0.0.0.0" }],
  ];
  for (const [option, options] of wrongSpeakers) {
    it(`says that ${option} is wrong in ${JSON.stringify(options)}`, () => {
      assert.equal(
        wrong(() => new Speaker({ ...SPEAKER, ...options })),
        option,
      );
    });
  }

  it("never shows a password in an error", () => {
    assert.throws(
      () => config({ password: "secret".repeat(20) }),
      (error: Error) => !error.message.includes("secret"),
    );
  });

  it("takes the interface of a link-local neighbor from its address, and the other way round", () => {
    assert.equal(config({ address: "fe80::2%eth0" }).interface, "eth0");
    assert.equal(config({ address: "fe80::2", interface: "eth0" }).address, "fe80::2%eth0");
    assert.equal(config({ address: "fd00::2", interface: "eth0" }).address, "fd00::2");
  });

  it("offers IPv6 next hops for IPv4 routes where it speaks IPv4 over an IPv6 session", () => {
    const families = Object.values(Family);
    assert.equal(config({ address: "fd00::2", families }).extendedNextHop, true);
    assert.equal(config({ address: "fd00::2" }).extendedNextHop, false);
    assert.equal(config({ families }).extendedNextHop, false);
    assert.equal(config({ families, extendedNextHop: true }).extendedNextHop, true);
  });

  it("has one spelling of the limit of prefixes", () => {
    assert.deepEqual(config({ maxPrefixes: 10 }).maxPrefixes, {
      limit: 10,
      action: "reset",
      warnAt: 75,
      restartAfter: undefined,
    });
    assert.equal(
      config({ maxPrefixes: { limit: 10, restartAfter: "never" } }).maxPrefixes?.restartAfter,
      "never",
    );
  });

  it("takes external neighbors to be one hop away for BFD, internal ones not, if nothing else says it", () => {
    assert.deepEqual(config({ bfd: true }).bfd, {
      transmitInterval: 300,
      receiveInterval: 300,
      multiplier: 3,
      pollInterval: 10_000,
      multihop: true,
      strict: false,
      keepRoutes: false,
    });
    assert.equal(config({ bfd: true, asn: 64513 }).bfd?.multihop, false);
    assert.equal(config({ bfd: true, ttlSecurity: 1 }).bfd?.multihop, false);
    assert.equal(config({ bfd: true, asn: 64513, ttlSecurity: 2 }).bfd?.multihop, true);
    assert.equal(config({ bfd: true, address: "fe80::2%eth0" }).bfd?.multihop, false);
    assert.equal(config({ bfd: { multihop: false } }).bfd?.multihop, false);
    assert.equal(config({ bfd: false }).bfd, undefined);
  });

  it("has no graceful restart of any kind where the speaker has none", () => {
    const { gracefulRestartTime, longLivedStaleTime, notificationRestart } = config(
      { gracefulRestartTime: 60, longLivedStaleTime: 60 },
      { gracefulRestart: false },
    );
    assert.deepEqual([gracefulRestartTime, longLivedStaleTime, notificationRestart], [0, {}, false]);
  });

  it("takes the times of the speaker, unless the neighbor has its own", () => {
    const gracefulRestart = { restartTime: 30, longLivedStaleTime: 3600 };
    assert.deepEqual(config({}, { gracefulRestart }).longLivedStaleTime, { [Family.ipv4Unicast]: 3600 });
    assert.deepEqual(config({ longLivedStaleTime: 0 }, { gracefulRestart }).longLivedStaleTime, {});
    const families = Object.values(Family);
    const onlyIpv6 = config(
      { families, longLivedStaleTime: { [Family.ipv6Unicast]: 60 } },
      { gracefulRestart },
    );
    assert.deepEqual(onlyIpv6.longLivedStaleTime, { [Family.ipv6Unicast]: 60 });
    assert.equal(config({ gracefulRestartTime: 40 }, { gracefulRestart }).gracefulRestartTime, 40);
  });

  it("needs a new session for what is said in the OPEN or done to the socket, and for nothing else", () => {
    const before = config();
    const inPlace: Partial<NeighborOptions>[] = [
      { maxPrefixes: 10 },
      { gracefulShutdown: true },
      { bfd: true },
      { softReconfiguration: true },
      { importPolicy: route => route },
      { description: "rack 4" },
    ];
    const anew: Partial<NeighborOptions>[] = [
      { interface: "eth0" },
      { delayOpenTime: 1 },
      { longLivedStaleTime: 1 },
      { extendedMessages: false },
      { enhancedRefresh: false },
      { extendedNextHop: true },
      { addPath: { receive: true } },
      { addPath: { send: "all" } },
    ];
    for (const options of inPlace) assert(!needsNewSession(before, config(options)), JSON.stringify(options));
    for (const options of anew) assert(needsNewSession(before, config(options)), JSON.stringify(options));
  });
});
