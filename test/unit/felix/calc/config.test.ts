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
});
