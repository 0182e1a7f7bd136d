/** Which changes of the datastore need a new session, and which do not: how long a session has been up tells. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filePasswords } from "../../../bgp/passwords.ts";
import type { BGPConfiguration, BGPPeer } from "../../../crd-schemas/index.ts";
import { DaemonLab, type Host } from "./daemon-lab.ts";
import { bgpConfiguration, bgpFilter, bgpPeer, ipPool, node } from "./resources.ts";

const PEER: NonNullable<BGPPeer["spec"]> = {
  node: "a",
  peerIP: "10.0.0.2",
  asNumber: 64512,
  filters: ["f"],
  reversePeering: "Manual",
};
const FILTER = { exportV4: [{ cidr: "192.0.2.0/24", matchOperator: "In", action: "Reject" }] } as const;

/** a and b peer by a BGPPeer each, and with c by the mesh; `sessions`: what became of these two of a's. */
async function peered(
  secretsDirectory = "/nonexistent",
): Promise<{ lab: DaemonLab; a: Host; sessions: () => Sessions[] }> {
  const lab = new DaemonLab();
  await lab.put("IPPool", "pool", ipPool("10.65.0.0/16"));
  const [a, b, c] = [
    await lab.host("a", "10.0.0.1"),
    await lab.host("b", "10.0.0.2"),
    await lab.host("c", "10.0.0.3"),
  ];
  await lab.put("BGPFilter", "f", bgpFilter("f", structuredClone(FILTER) as never));
  await lab.put("BGPPeer", "p", bgpPeer("p", PEER));
  const back = { node: "b", peerIP: "10.0.0.1", asNumber: 64512, reversePeering: "Manual" } as const;
  await lab.put("BGPPeer", "q", bgpPeer("q", back));
  for (const host of [a, b, c]) {
    await lab.block(host, `10.65.${host.address.at(-1)}.0/26`);
    host.start({ passwords: filePasswords(secretsDirectory) });
  }
  await lab.pass(15);
  const since = (address: string) => {
    const neighbor = a.status.neighbors.find(other => other.address === address);
    assert.equal(neighbor?.state, "Established", `${address} ${neighbor?.state}`);
    return neighbor.since;
  };
  const all = () => [since("10.0.0.2"), since("10.0.0.3")];
  const before = all();
  return { lab, a, sessions: () => all().map((at, i) => (at === before[i] ? "stays" : "anew")) };
}

type PeerSpec = Partial<NonNullable<BGPPeer["spec"]>>;
type ConfigurationSpec = Partial<NonNullable<BGPConfiguration["spec"]>>;
type Sessions = "stays" | "anew";

describe("bgp: a change of", () => {
  const peerChanges: [PeerSpec, Sessions][] = [
    [{ filters: [] }, "stays"],
    [{ filters: ["f", "g"] }, "stays"],
    [{ nextHopMode: "Self" }, "stays"],
    [{ nextHopMode: "Keep" }, "stays"],
    [{ keepOriginalNextHop: true }, "stays"],
    [{ numAllowedLocalASNumbers: 2 }, "stays"],
    [{ reachableBy: "10.0.0.9" }, "stays"],
    [{ reversePeering: "Auto" }, "stays"],
    [{ peerIP: "10.0.0.2:1179" }, "stays"],
    [{ sourceAddress: "None" }, "anew"],
    [{ maxRestartTime: "60s" }, "anew"],
    [{ keepaliveTime: "10s" }, "anew"],
    [{ ttlSecurity: 1 }, "anew"],
  ];
  for (const [change, expected] of peerChanges) {
    it(`BGPPeer ${JSON.stringify(change)}: the session ${expected}, others stay`, async () => {
      const { lab, sessions } = await peered();
      await lab.put("BGPPeer", "p", bgpPeer("p", { ...PEER, ...change } as never));
      await lab.pass(20);
      assert.deepEqual(sessions(), [expected, "stays"]);
    });
  }

  it("BGPPeer that goes: what is then the mesh's session stays, if it is the same", async () => {
    const { lab, sessions } = await peered();
    await lab.delete("BGPPeer", "p");
    await lab.pass(20);
    assert.deepEqual(sessions(), ["stays", "stays"]);
  });

  const configurationChanges: [ConfigurationSpec, [Sessions, Sessions]][] = [
    [{ logSeverityScreen: "Debug" }, ["stays", "stays"]],
    [{ serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] }, ["stays", "stays"]],
    [{ serviceExternalIPs: [{ cidr: "192.0.2.0/24" }] }, ["stays", "stays"]],
    [{ serviceLoadBalancerIPs: [{ cidr: "192.0.2.0/24" }] }, ["stays", "stays"]],
    [{ serviceLoadBalancerAggregation: "Disabled" }, ["stays", "stays"]],
    [
      {
        communities: [{ name: "n", value: "1:2" }],
        prefixAdvertisements: [{ cidr: "10.65.0.0/16", communities: ["n"] }],
      },
      ["stays", "stays"],
    ],
    [{ listenPort: 1790 }, ["stays", "stays"]],
    [{ bindMode: "NodeIP" }, ["stays", "stays"]],
    [{ ignoredInterfaces: ["docker0"] }, ["stays", "stays"]],
    [{ programClusterRoutes: "Enabled" }, ["stays", "stays"]],
    [{ ipv4NormalRoutePriority: 2000, ipv6NormalRoutePriority: 2000 }, ["stays", "stays"]],
    [{ localWorkloadPeeringIPV4: "169.254.1.1" }, ["stays", "stays"]],
    [{ nodeMeshMaxRestartTime: "60s" }, ["stays", "anew"]],
    [{ asNumber: 64512 }, ["stays", "stays"]],
  ];
  for (const [change, expected] of configurationChanges) {
    it(`BGPConfiguration ${JSON.stringify(change)}: sessions ${[...new Set(expected)].join(" and ")}`, async () => {
      const { lab, sessions } = await peered();
      await lab.put("BGPConfiguration", "default", bgpConfiguration(change));
      await lab.pass(20);
      assert.deepEqual(sessions(), expected);
    });
  }

  it("the password: only the sessions it is for begin anew", async () => {
    const secrets = mkdtempSync(join(tmpdir(), "calyx-bgp-"));
    try {
      mkdirSync(join(secrets, "bgp"));
      writeFileSync(join(secrets, "bgp", "mesh"), "opensesame", { mode: 0o600 });
      const { lab, a, sessions } = await peered(secrets);
      const nodeMeshPassword = { secretKeyRef: { name: "bgp", key: "mesh" } };
      await lab.put("BGPConfiguration", "default", bgpConfiguration({ nodeMeshPassword }));
      await lab.pass(20);
      assert.deepEqual(sessions(), ["stays", "anew"]);
      assert.deepEqual([...a.passwords], [["10.0.0.3", "opensesame"]]);
    } finally {
      rmSync(secrets, { recursive: true });
    }
  });

  it("a BGPFilter, whatever it says: no session begins anew", async () => {
    const { lab, sessions } = await peered();
    for (const spec of [
      { importV4: [{ action: "Reject" }] },
      { exportV4: [{ action: "Accept", operations: [{ addCommunity: { value: "1:1" } }] }] },
      { exportV4: [{ interface: "eth*", action: "Accept" }] },
      { importV6: [{ peerType: "eBGP", source: "RemotePeers", action: "Reject" }] },
      {
        importV4: [
          { priority: 512, asPathPrefix: [65000], communities: { values: ["1:1"] }, action: "Accept" },
        ],
      },
    ]) {
      await lab.put("BGPFilter", "f", bgpFilter("f", spec as never));
      await lab.pass(2);
      assert.deepEqual(sessions(), ["stays", "stays"]);
    }
    await lab.delete("BGPFilter", "f");
    await lab.pass(2);
    assert.deepEqual(sessions(), ["stays", "stays"]);
  });

  it("what a node is labelled, and pools: no session begins anew", async () => {
    const { lab, sessions } = await peered();
    await lab.put("Node", "a", node("a", { ipv4Address: "10.0.0.1/24" }, { rack: "1" }));
    await lab.put("Node", "c", node("c", { ipv4Address: "10.0.0.3/24" }, { rack: "1" }));
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16", { ipipMode: "Always" }));
    await lab.pass(10);
    assert.deepEqual(sessions(), ["stays", "stays"]);
  });

  it("a node into a reflector: the sessions that remain stay", async () => {
    const { lab, a } = await peered();
    const sessions = () => a.status.neighbors.map(({ name, state, since }) => [name, state, since]);
    const since = a.status.neighbors.find(({ address }) => address === "10.0.0.2")?.since;
    await lab.put("Node", "a", node("a", { ipv4Address: "10.0.0.1/24", routeReflectorClusterID: "1.0.0.1" }));
    await lab.pass(20);
    assert.deepEqual(sessions(), [["Node_10_0_0_2", "Established", since]]);
    assert.equal(a.speakers.length, 1);
  });
});
