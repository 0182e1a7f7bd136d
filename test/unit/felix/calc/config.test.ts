import assert from "node:assert/strict";
import { environmentLayer, fileLayer, resolveConfig } from "../../../../felix/calc/config.ts";

describe("felix/calc/config", () => {
  it("has Calico's defaults", () => {
    const { config } = resolveConfig([]);
    assert.deepEqual(config.interfacePrefix, ["cali"]);
    assert.equal(config.iptablesMarkMask, 0xffff0000);
    assert.equal(config.iptablesRefreshInterval, 180_000);
    assert.equal(config.defaultEndpointToHostAction, "Drop");
  });

  it("lets a later layer win, names in any case", () => {
    const { config, problems } = resolveConfig([
      {
        source: "FelixConfiguration(default)",
        values: { ipv6Support: false, iptablesRefreshInterval: "1m30s" },
      },
      fileLayer("/etc/calico/felix.cfg", "[global]\nIpv6Support = true\n# comment\n"),
      environmentLayer({
        FELIX_DEFAULTENDPOINTTOHOSTACTION: "ACCEPT",
        PATH: "/bin",
        Felix_IptablesRefreshInterval: "5",
      }),
    ]);
    assert.deepEqual(problems, []);
    assert.equal(config.ipv6Support, true);
    assert.equal(config.defaultEndpointToHostAction, "Accept");
    assert.equal(config.iptablesRefreshInterval, 5000);
  });

  it("reports a value it cannot read and keeps the lower one", () => {
    const { config, problems } = resolveConfig([
      { source: "a", values: { healthPort: 9100 } },
      { source: "b", values: { healthPort: "x", ipv6Support: "maybe" } },
    ]);
    assert.equal(config.healthPort, 9100);
    assert.deepEqual(
      problems.map(p => [p.source, p.parameter, p.value]),
      [
        ["b", "healthPort", "x"],
        ["b", "ipv6Support", "maybe"],
      ],
    );
  });

  it("refuses a mark mask with too few bits, which would leave policy without marks", () => {
    const { config, problems } = resolveConfig([{ source: "a", values: { iptablesMarkMask: 7 } }]);
    assert.equal(config.iptablesMarkMask, 0xffff0000);
    assert.equal(problems.length, 1);
  });

  it("resets to the zero value on none, and ignores parameters it does not know", () => {
    const { config, problems } = resolveConfig([
      { source: "a", values: { routeRefreshInterval: "none", bpfEnabled: true } },
    ]);
    assert.equal(config.routeRefreshInterval, 0);
    assert.deepEqual(problems, []);
  });

  it("reads failsafe ports as lists of a resource and as text", () => {
    const read = (failsafeInboundHostPorts: unknown) => {
      const { config, problems } = resolveConfig([{ source: "a", values: { failsafeInboundHostPorts } }]);
      return problems.length > 0 ? "refused" : config.failsafeInboundHostPorts;
    };
    const { config } = resolveConfig([]);
    const ports = (list: typeof config.failsafeInboundHostPorts) =>
      list.map(p => `${p.protocol}:${p.port}`).join();
    assert.equal(
      ports(config.failsafeInboundHostPorts),
      "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
    );
    assert.equal(
      ports(config.failsafeOutboundHostPorts),
      "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
    );
    const both = [
      { protocol: "udp", net: "10.0.0.0/8", port: 53 },
      { protocol: "tcp", net: "fd00::/8", port: 22 },
      { protocol: "tcp", net: undefined, port: 179 },
    ];
    assert.deepEqual(
      read([{ protocol: "UDP", net: "10.0.0.0/8", port: 53 }, { net: "fd00::/8", port: 22 }, { port: 179 }]),
      both,
    );
    assert.deepEqual(read("udp:10.0.0.0/8:53, tcp:[fd00::/8]:22,179"), both);
    assert.deepEqual(read("tcp:fd00::/8:22"), [both[1]]);
    assert.deepEqual([read("none"), read([])], [[], []]);
    for (const wrong of ["", "tcp", "icmp:1", "tcp:70000", "tcp:10.0.0.0/40:22"])
      assert.equal(read(wrong), "refused", wrong);
  });

  it("reads the rate of log lines", () => {
    const read = (logActionRateLimit: string) =>
      resolveConfig([{ source: "a", values: { logActionRateLimit } }]);
    assert.equal(read("10/second").config.logActionRateLimit, "10/second");
    assert.equal(read("ten").problems.length, 1);
  });
});
