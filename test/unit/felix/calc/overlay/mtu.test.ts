import assert from "node:assert/strict";
import { resolveConfig } from "../../../../../felix/calc/config.ts";
import { hostMtu, mtus } from "../../../../../felix/calc/overlay/mtu.ts";

const { config } = resolveConfig([]);
const pattern = new RegExp(config.mtuIfacePattern);
const OFF = { ipip: false, vxlan: false, vxlan6: false };

describe("felix/calc/overlay/mtu", () => {
  it("of the host is the smallest of the interfaces that lead out", () => {
    const links = [
      { name: "lo", mtu: 65_536 },
      { name: "eth0", mtu: 9000 },
      { name: "enp3s0", mtu: 1460 },
      { name: "docker0", mtu: 1400 },
      { name: "cali1234", mtu: 1300 },
    ];
    assert.equal(hostMtu(links, pattern), 1460);
  });

  it("of the host is Ethernet's where no interface is known to lead out", () => {
    assert.equal(hostMtu([{ name: "lo", mtu: 65_536 }], pattern), 1500);
  });

  it("of a tunnel leaves room for its headers", () => {
    assert.deepEqual(mtus(1500, config, OFF), { ipip: 1480, vxlan: 1450, vxlan6: 1430, workload: 1500 });
  });

  it("of workloads is the smallest of the tunnels in use", () => {
    assert.equal(mtus(1500, config, { ...OFF, ipip: true }).workload, 1480);
    assert.equal(mtus(9000, config, { ...OFF, ipip: true, vxlan: true }).workload, 8950);
    assert.equal(mtus(1500, config, { ...OFF, vxlan: true, vxlan6: true }).workload, 1430);
  });

  it("is what the configuration says", () => {
    const given = resolveConfig([
      { source: "test", values: { vxlanMTU: 1400, ipipMTU: 1401, vxlanMTUV6: 1402 } },
    ]);
    assert.deepEqual(mtus(1500, given.config, { ipip: true, vxlan: true, vxlan6: true }), {
      ipip: 1401,
      vxlan: 1400,
      vxlan6: 1402,
      workload: 1400,
    });
  });
});
