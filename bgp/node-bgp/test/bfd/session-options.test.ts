import assert from "node:assert/strict";
import { type BfdSessionOptions, pathName, sessionConfig, sessionPath } from "../../bfd/session-options.ts";
import { OptionError } from "../../errors.ts";

describe("the options of a BFD session", () => {
  it("have the defaults that are written down", () => {
    assert.deepEqual(sessionPath({ address: "10.0.0.2" }), {
      address: "10.0.0.2",
      localAddress: undefined,
      interface: undefined,
      multihop: false,
      minimumTtl: 255,
    });
    assert.deepEqual(sessionConfig({}), {
      minTx: 300_000,
      minRx: 300_000,
      multiplier: 3,
      pollInterval: 10_000_000,
      adminDown: false,
    });
    assert.equal(sessionPath({ address: "10.0.0.2", multihop: true }).minimumTtl, 1);
  });

  it("take the interface of a link-local address from its zone", () => {
    const path = sessionPath({ address: "FE80::2%eth1" });
    assert.equal(path.address, "fe80::2");
    assert.equal(path.interface, "eth1");
    assert.equal(pathName(path), "fe80::2%eth1");
    assert.equal(pathName(sessionPath({ address: "fe80::2", interface: "eth1" })), "fe80::2%eth1");
  });

  it("name any other address as it is", () => {
    assert.equal(pathName(sessionPath({ address: "2001:DB8::1", interface: "eth1" })), "2001:db8::1");
  });

  it("know the local address in its canonical form", () => {
    const { localAddress } = sessionPath({ address: "fe80::2%eth0", localAddress: "fe80:0::1%eth0" });
    assert.equal(localAddress, "fe80::1");
  });

  const wrong: readonly (readonly [string, BfdSessionOptions, string])[] = [
    ["no address", { address: "router1" }, "address"],
    ["a link-local address without an interface", { address: "fe80::2" }, "address"],
    ["an interface that is not the zone", { address: "fe80::2%eth0", interface: "eth1" }, "interface"],
    ["an interface that cannot be one", { address: "10.0.0.2", interface: "eth0/1" }, "interface"],
    ["an interface of 16 bytes", { address: "10.0.0.2", interface: "abcdefghijklmnop" }, "interface"],
    ["several hops over link-local addresses", { address: "fe80::2%eth0", multihop: true }, "multihop"],
    ["a local address of the other family", { address: "10.0.0.2", localAddress: "::1" }, "localAddress"],
    ["no local address", { address: "10.0.0.2", localAddress: "" }, "localAddress"],
    ["a TTL of 0", { address: "10.0.0.2", multihop: true, minimumTtl: 0 }, "minimumTtl"],
    ["9 ms", { address: "10.0.0.2", transmitInterval: 9 }, "transmitInterval"],
    ["more than a minute", { address: "10.0.0.2", receiveInterval: 60_001 }, "receiveInterval"],
    ["a part of a millisecond", { address: "10.0.0.2", receiveInterval: 50.5 }, "receiveInterval"],
    ["a multiplier of 0", { address: "10.0.0.2", multiplier: 0 }, "multiplier"],
    ["a multiplier of 256", { address: "10.0.0.2", multiplier: 256 }, "multiplier"],
    ["measuring all the time", { address: "10.0.0.2", pollInterval: 999 }, "pollInterval"],
  ];
  for (const [what, options, option] of wrong) {
    it(`refuse ${what}`, () => {
      assert.throws(
        () => [sessionPath(options), sessionConfig(options)],
        (error: unknown) => error instanceof OptionError && error.option === option,
      );
    });
  }
});
