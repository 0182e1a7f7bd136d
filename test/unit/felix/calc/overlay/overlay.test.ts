import assert from "node:assert/strict";
import fc from "fast-check";
import { vxlanMac } from "../../../../../felix/calc/overlay/node-view.ts";
import {
  arbitraryChange,
  block,
  Calculation,
  gone,
  HERE,
  node,
  pool,
  type Update,
  vxlanPool,
  workload,
} from "./records.ts";

const here = node(HERE, {
  v4: "172.16.0.1/24",
  v6: "fd00:16::1/64",
  vxlan: "10.0.1.0",
  vxlan6: "fd00:10::1:0",
});
/** In our subnet. */
const near = node("near", {
  v4: "172.16.0.2/24",
  v6: "fd00:16::2/64",
  vxlan: "10.0.2.0",
  vxlan6: "fd00:10::2:0",
});
/** In another. */
const far = node("far", {
  v4: "172.16.9.3/24",
  v6: "fd00:99::3/64",
  vxlan: "10.0.3.0",
  vxlan6: "fd00:10::3:0",
});
const ownBlock = block("10.0.1.0/26", HERE);
const nearBlock = block("10.0.2.0/26", "near");
const farBlock = block("10.0.3.0/26", "far");
const cluster = [here, near, far, ownBlock, nearBlock, farBlock];

describe("felix/calc/overlay", () => {
  describe("VXLAN", () => {
    it("leads to other nodes' blocks and tunnel addresses by their tunnel ends, and own blocks nowhere", () => {
      const calculation = new Calculation([vxlanPool(), ...cluster]);
      assert.deepEqual(calculation.lines, {
        "10.0.2.0/26": "vxlan 10.0.2.0 near",
        "10.0.2.0/32": "vxlan 10.0.2.0 near",
        "10.0.3.0/26": "vxlan 10.0.3.0 far",
        "10.0.3.0/32": "vxlan 10.0.3.0 far",
      });
      assert.deepEqual([...calculation.blackholes], ["10.0.1.0/26"]);
      assert.deepEqual(calculation.encapsulation, { ipip: false, vxlan: true, vxlan6: false });
    });

    it("goes without a tunnel inside the own subnet where the pool says CrossSubnet", () => {
      const calculation = new Calculation([vxlanPool("10.0.0.0/16", "CrossSubnet"), ...cluster]);
      assert.deepEqual(calculation.lines, {
        "10.0.2.0/26": "direct 172.16.0.2 near",
        "10.0.2.0/32": "direct 172.16.0.2 near",
        "10.0.3.0/26": "vxlan 10.0.3.0 far",
        "10.0.3.0/32": "vxlan 10.0.3.0 far",
      });
    });

    it("knows the other ends, with the MAC that each node computes for each other", () => {
      const calculation = new Calculation([vxlanPool(), ...cluster]);
      assert.deepEqual(Object.fromEntries(calculation.vteps), {
        "near/4": `10.0.2.0 ${vxlanMac("near")} 172.16.0.2`,
        "far/4": `10.0.3.0 ${vxlanMac("far")} 172.16.9.3`,
      });
      // `printf node1 | sha1sum` is f937c37e94…
      assert.equal(vxlanMac("node1"), "66:f9:37:c3:7e:94");
      assert.deepEqual(calculation.ownNode?.vxlan[4], { address: "10.0.1.0", mac: vxlanMac(HERE) });
    });

    it("takes the MAC that a Node names", () => {
      const odd = node("near", { v4: "172.16.0.2/24", vxlan: "10.0.2.0", mac: "02:00:00:00:00:07" });
      const calculation = new Calculation([vxlanPool(), here, odd]);
      assert.equal(calculation.vteps.get("near/4"), "10.0.2.0 02:00:00:00:00:07 172.16.0.2");
    });

    it("lets in VXLAN from other nodes alone, and from those that the configuration names", () => {
      const calculation = new Calculation([vxlanPool(), ...cluster]);
      assert.deepEqual([...(calculation.members ?? [])].sort(), ["172.16.0.2", "172.16.9.3"]);
      calculation.apply(gone(far));
      assert.deepEqual([...(calculation.members ?? [])], ["172.16.0.2"]);
      calculation.apply(pool("pool", "10.0.0.0/16"));
      assert.equal(calculation.members, undefined);
      const external = { externalNodesList: ["192.0.2.0/24", "192.0.2.7"] };
      const told = new Calculation([vxlanPool(), here, near], external);
      assert.deepEqual([...(told.members ?? [])].sort(), ["172.16.0.2", "192.0.2.0/24", "192.0.2.7"]);
    });

    it("works for IPv6 by its own pools, device addresses and MACs", () => {
      const calculation = new Calculation([
        pool("six", "fd00:10::/64", { vxlanMode: "CrossSubnet" }),
        ...cluster,
        block("fd00:10::1:0/122", HERE),
        block("fd00:10::2:0/122", "near"),
        block("fd00:10::3:0/122", "far"),
      ]);
      assert.deepEqual(calculation.encapsulation, { ipip: false, vxlan: false, vxlan6: true });
      assert.deepEqual(calculation.lines, {
        "fd00:10::2:0/122": "direct fd00:16::2 near",
        "fd00:10::2:0/128": "direct fd00:16::2 near",
        "fd00:10::3:0/122": "vxlan fd00:10::3:0 far",
        "fd00:10::3:0/128": "vxlan fd00:10::3:0 far",
      });
      assert.deepEqual([...calculation.blackholes], ["fd00:10::1:0/122"]);
      assert.equal(calculation.vteps.get("far/6"), `fd00:10::3:0 ${vxlanMac("far-v6")} fd00:99::3`);
      assert.equal(calculation.vteps.size, 2);
    });

    it("waits for the other node's end", () => {
      const early = node("far", { v4: "172.16.9.3/24" });
      const calculation = new Calculation([vxlanPool(), here, early, farBlock]);
      assert.deepEqual(calculation.lines, {});
      calculation.apply(far);
      assert.equal(calculation.routes.get("10.0.3.0/26"), "vxlan 10.0.3.0 far");
      calculation.apply(early);
      assert.deepEqual(calculation.lines, {});
    });

    it("can be switched off by the configuration, and is switched on by pools that are disabled too", () => {
      assert.deepEqual(new Calculation([vxlanPool(), ...cluster], { vxlanEnabled: false }).lines, {});
      const disabled = pool("pool", "10.0.0.0/16", { vxlanMode: "Always", disabled: true });
      assert.equal(new Calculation([disabled, ...cluster]).routes.size, 4);
    });
  });

  describe("IPIP", () => {
    const ipip = (ipipMode: "Always" | "CrossSubnet" = "Always") => pool("pool", "10.0.0.0/16", { ipipMode });
    const withTunnel = node("far", { v4: "172.16.9.3/24", ipip: "10.0.3.7" });

    it("leads through the tunnel by the node's own address", () => {
      const calculation = new Calculation([ipip(), here, withTunnel, ownBlock, farBlock]);
      assert.deepEqual(calculation.lines, {
        "10.0.3.0/26": "ipip 172.16.9.3 far",
        "10.0.3.7/32": "ipip 172.16.9.3 far",
      });
      assert.deepEqual([...calculation.blackholes], ["10.0.1.0/26"]);
      assert.deepEqual(calculation.encapsulation, { ipip: true, vxlan: false, vxlan6: false });
    });

    it("goes without inside the own subnet where the pool says CrossSubnet", () => {
      const calculation = new Calculation([ipip("CrossSubnet"), ...cluster]);
      assert.equal(calculation.routes.get("10.0.2.0/26"), "direct 172.16.0.2 near");
      assert.equal(calculation.routes.get("10.0.3.0/26"), "ipip 172.16.9.3 far");
    });

    it("is BGP's where programClusterRoutes says so", () => {
      for (const programClusterRoutes of ["Disabled", "EnabledNoEncapOnly"] as const) {
        const calculation = new Calculation([ipip(), ...cluster], { programClusterRoutes });
        assert.deepEqual([calculation.routes.size, calculation.blackholes.size], [0, 0]);
      }
    });
  });

  describe("without encapsulation", () => {
    const plain = pool("pool", "10.0.0.0/16");

    it("is BGP's by default", () => {
      const calculation = new Calculation([plain, ...cluster]);
      assert.deepEqual([calculation.routes.size, calculation.blackholes.size], [0, 0]);
    });

    it("leads to nodes in the own subnet where felix is told to; the fabric knows the others", () => {
      for (const programClusterRoutes of ["Enabled", "EnabledNoEncapOnly"] as const) {
        const calculation = new Calculation([plain, ...cluster], { programClusterRoutes });
        assert.equal(calculation.routes.get("10.0.2.0/26"), "direct 172.16.0.2 near");
        assert.equal(calculation.routes.has("10.0.3.0/26"), false);
        assert.deepEqual([...calculation.blackholes], ["10.0.1.0/26"]);
      }
    });
  });

  describe("single addresses", () => {
    it("are led to the node that uses them, wherever their block is", () => {
      const borrowed = block("10.0.2.0/26", "near", {
        "10.0.2.9": "far",
        "10.0.2.10": "near",
        "10.0.2.11": HERE,
      });
      const lent = block("10.0.1.0/26", HERE, { "10.0.1.20": "near" });
      const calculation = new Calculation([vxlanPool(), here, near, far, borrowed, lent]);
      assert.equal(calculation.routes.get("10.0.2.9/32"), "vxlan 10.0.3.0 far");
      assert.equal(calculation.routes.get("10.0.1.20/32"), "vxlan 10.0.2.0 near");
      assert.equal(calculation.routes.has("10.0.2.10/32"), false);
      assert.equal(calculation.routes.has("10.0.2.11/32"), false);
      calculation.apply(block("10.0.2.0/26", "near", { "10.0.2.9": "cooling" }));
      assert.equal(calculation.routes.has("10.0.2.9/32"), false);
    });

    it("stay where they are when their block has lost its owner", () => {
      const calculation = new Calculation([
        vxlanPool(),
        here,
        far,
        block("10.0.3.0/26", null, { "10.0.3.9": "far" }),
      ]);
      assert.deepEqual(Object.keys(calculation.lines), ["10.0.3.0/32", "10.0.3.9/32"]);
    });

    it("are here while a workload here has them, whatever their block says", () => {
      const moving = block("10.0.2.0/26", "near", { "10.0.2.9": "far" });
      const pod = workload("pod", HERE, "10.0.2.9/32");
      const calculation = new Calculation([vxlanPool(), here, near, far, moving, pod]);
      assert.equal(calculation.routes.has("10.0.2.9/32"), false);
      calculation.apply(workload("pod", "far", "10.0.2.9/32"));
      assert.equal(calculation.routes.get("10.0.2.9/32"), "vxlan 10.0.3.0 far");
    });

    it("are here where a workload here is known by them, if the configuration lets it", () => {
      const lent = block("10.0.2.0/26", "near", { "10.0.2.9": "far" });
      const [key, pod] = workload("pod", HERE, "10.0.1.5/32");
      const ipNATs = [{ externalIP: "10.0.2.9", internalIP: "10.0.1.5" }];
      const floating: Update = [key, { spec: { ...(pod as { spec: object }).spec, ipNATs } }];
      const state = [vxlanPool(), here, near, far, lent, floating];
      assert.equal(new Calculation(state, { floatingIPs: "Enabled" }).routes.has("10.0.2.9/32"), false);
      assert.equal(new Calculation(state).routes.get("10.0.2.9/32"), "vxlan 10.0.3.0 far");
    });

    it("of load balancers are at no node", () => {
      const services = block("10.0.5.0/26", "virtual:load-balancer", { "10.0.5.1": "near" });
      assert.equal(new Calculation([vxlanPool(), here, near, services]).routes.has("10.0.5.1/32"), false);
    });
  });

  describe("nodes", () => {
    it("are followed when they move", () => {
      const calculation = new Calculation([vxlanPool("10.0.0.0/16", "CrossSubnet"), ...cluster]);
      calculation.apply(node("far", { v4: "172.16.0.33/24", vxlan: "10.0.3.0" }));
      assert.equal(calculation.routes.get("10.0.3.0/26"), "direct 172.16.0.33 far");
      assert.equal(calculation.vteps.get("far/4"), `10.0.3.0 ${vxlanMac("far")} 172.16.0.33`);
      assert.deepEqual([...(calculation.last.routes?.keys() ?? [])].sort(), ["10.0.3.0/26", "10.0.3.0/32"]);
    });

    it("are near or far by where this host is", () => {
      const calculation = new Calculation([vxlanPool("10.0.0.0/16", "CrossSubnet"), ...cluster]);
      calculation.apply(node(HERE, { v4: "172.16.9.1/24", vxlan: "10.0.1.0" }));
      assert.equal(calculation.routes.get("10.0.3.0/26"), "direct 172.16.9.3 far");
      assert.equal(calculation.routes.get("10.0.2.0/26"), "vxlan 10.0.2.0 near");
    });

    it("with one address between two: the first by name has it, and when it goes, the other", () => {
      const twin = node("zwin", { v4: "172.16.0.2/24", vxlan: "10.0.7.0" });
      const theirs = block("10.0.7.0/26", "zwin");
      const calculation = new Calculation([vxlanPool(), ...cluster, twin, theirs]);
      assert.equal(calculation.routes.has("10.0.7.0/26"), false);
      assert.equal(calculation.routes.get("10.0.2.0/26"), "vxlan 10.0.2.0 near");
      assert.deepEqual(calculation.problems, [
        "Node zwin: its address 172.16.0.2 is that of node near: nothing is sent to it",
      ]);
      calculation.apply(gone(near));
      assert.equal(calculation.routes.get("10.0.7.0/26"), "vxlan 10.0.7.0 zwin");
    });

    it("that claim our own address are sent nothing", () => {
      const thief = node("a", { v4: "172.16.0.1/24", vxlan: "10.0.7.0" });
      const calculation = new Calculation([vxlanPool(), ...cluster, thief, block("10.0.7.0/26", "a")]);
      assert.equal(calculation.routes.has("10.0.7.0/26"), false);
      assert.equal(calculation.routes.size, 4);
    });

    it("with one tunnel address between two: the first by name has it", () => {
      const twin = node("zwin", { v4: "172.16.9.4/24", vxlan: "10.0.3.0" });
      const calculation = new Calculation([
        vxlanPool(),
        here,
        far,
        farBlock,
        twin,
        block("10.0.7.0/26", "zwin"),
      ]);
      assert.equal(calculation.routes.has("10.0.7.0/26"), false);
      calculation.apply(gone(far));
      assert.equal(calculation.routes.get("10.0.7.0/26"), "vxlan 10.0.3.0 zwin");
    });
  });

  describe("pools", () => {
    it("may change their mode", () => {
      const calculation = new Calculation([vxlanPool(), ...cluster]);
      calculation.apply(pool("pool", "10.0.0.0/16"));
      assert.deepEqual(
        [calculation.routes.size, calculation.vteps.size, calculation.blackholes.size],
        [0, 0, 0],
      );
      assert.deepEqual(calculation.encapsulation, { ipip: false, vxlan: false, vxlan6: false });
      calculation.apply(vxlanPool());
      assert.deepEqual(calculation.plain, new Calculation([vxlanPool(), ...cluster]).plain);
    });

    it("that are gone leave nothing behind", () => {
      const calculation = new Calculation([vxlanPool(), ...cluster]);
      calculation.apply(gone(vxlanPool()));
      assert.deepEqual(calculation.lines, {});
    });
  });

  it("hands over nothing when nothing is different", () => {
    const calculation = new Calculation([vxlanPool(), ...cluster]);
    calculation.apply(...cluster, vxlanPool());
    const { routes, vteps, blackholes, sets, ...others } = calculation.last;
    const sizes = [routes, vteps, blackholes, sets].map(each => each?.size);
    assert.deepEqual([sizes, others], [[0, 0, 0, 0], {}]);
  });

  it("looks only at what an update touches", () => {
    const calculation = new Calculation([vxlanPool(), ...cluster]);
    calculation.apply(block("10.0.3.64/26", "far"));
    assert.deepEqual([...(calculation.last.routes?.keys() ?? [])], ["10.0.3.64/26"]);
  });

  it("refuses a block that cannot be read, and goes on without it", () => {
    const calculation = new Calculation([vxlanPool(), ...cluster]);
    assert.throws(
      () => calculation.apply([farBlock[0], { cidr: "10.0.3.0/26", allocations: [1] }]),
      /not an IPAM block/,
    );
    calculation.apply(gone(farBlock));
    assert.equal(calculation.routes.has("10.0.3.0/26"), false);
  });

  it("depends on the state, not on how it came about", () => {
    fc.assert(
      fc.property(fc.array(arbitraryChange, { maxLength: 40 }), changes => {
        const state = new Map<string, Update>();
        const calculation = new Calculation([], { programClusterRoutes: "Enabled" });
        for (const one of changes) {
          calculation.apply(one);
          if (one[1] === undefined) state.delete(JSON.stringify(one[0]));
          else state.set(JSON.stringify(one[0]), one);
        }
        const fresh = new Calculation([...state.values()], { programClusterRoutes: "Enabled" });
        assert.deepEqual(calculation.plain, fresh.plain);
      }),
      { numRuns: 300 },
    );
  });
});
