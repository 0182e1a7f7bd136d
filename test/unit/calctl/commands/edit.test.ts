import assert from "node:assert/strict";
import { isDatastoreError } from "../../../../datastore/errors.ts";
import { Cluster } from "../harness.ts";

function node(name: string): string {
  return `apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: ${name}, labels: {rack: "7"}}\nspec: {bgp: {ipv4Address: 10.0.0.1/24}}\n`;
}

describe("calctl patch", () => {
  let cluster: Cluster;
  beforeEach(async () => {
    cluster = new Cluster();
    await cluster.calctl(["create", "-f", "-"], { stdin: node("host1") });
  });
  const patch = (...argv: string[]) => cluster.calctl(["patch", "node", "host1", ...argv]);
  const spec = async () => (await cluster.client.get("Node", "host1")).spec;

  const patches: [type: string, patch: string][] = [
    ["strategic", '{"spec":{"bgp":{"routeReflectorClusterID":"244.0.0.1"}}}'],
    ["strategic", "spec: {bgp: {routeReflectorClusterID: 244.0.0.1}}"],
    ["merge", '{"spec":{"bgp":{"routeReflectorClusterID":"244.0.0.1"}}}'],
    ["json", '[{"op":"add","path":"/spec/bgp/routeReflectorClusterID","value":"244.0.0.1"}]'],
  ];
  for (const [type, text] of patches)
    it(`${type}: ${text}`, async () => {
      assert.deepEqual(await patch("-t", type, "-p", text), {
        code: 0,
        stdout: "Successfully patched 1 'Node' resource\n",
        stderr: "",
      });
      assert.deepEqual((await spec()).bgp, {
        ipv4Address: "10.0.0.1/24",
        routeReflectorClusterID: "244.0.0.1",
      });
    });

  it("goes through although others write at the same time", async () => {
    const ran = await Promise.all(
      ["a", "b", "c"].map(label => patch("-p", JSON.stringify({ metadata: { labels: { [label]: "1" } } }))),
    );
    assert.deepEqual(
      ran.map(({ code }) => code),
      [0, 0, 0],
    );
    assert.deepEqual((await cluster.client.get("Node", "host1")).metadata.labels, {
      rack: "7",
      a: "1",
      b: "1",
      c: "1",
    });
  });

  const refused: [what: string, argv: string[], complaint: RegExp][] = [
    [
      "a result that is not valid",
      ["-p", '{"spec":{"bgp":{"asNumber":"x"}}}'],
      /not a valid Node: spec\.bgp\.asNumber: /,
    ],
    [
      "a field that there is not",
      ["-p", '{"spec":{"foo":1}}'],
      /spec\.foo: field in document is not recognized/,
    ],
    [
      "another name",
      ["-p", '{"metadata":{"name":"host2"}}'],
      /metadata\.name cannot be changed from host1 to host2/,
    ],
    ["a patch that is no patch", ["-p", "[1"], /invalid patch/],
    ["a JSON patch that is a map", ["-t", "json", "-p", "{}"], /a JSON patch is a list of operations/],
    ["a merge patch that is a list", ["-t", "merge", "-p", "[]"], /a merge patch is a mapping of fields/],
    ["a type there is not", ["-t", "magic", "-p", "{}"], /Allowed choices are strategic, json, merge/],
    ["no patch", [], /required option '-p, --patch <patch>'/],
  ];
  for (const [what, argv, complaint] of refused)
    it(`refuses ${what}`, async () => {
      const before = await spec();
      const { code, stderr } = await patch(...argv);
      assert.equal(code, 1);
      assert.match(stderr, complaint);
      assert.deepEqual(await spec(), before);
    });
  it("says what does not exist", async () => {
    const { code, stderr } = await cluster.calctl(["patch", "node", "nope", "-p", "{}"]);
    assert.deepEqual([code, stderr], [1, "resource does not exist: Node(nope)\n"]);
  });
});

describe("calctl label", () => {
  let cluster: Cluster;
  beforeEach(async () => {
    cluster = new Cluster();
    await cluster.calctl(["create", "-f", "-"], { stdin: node("host1") });
  });
  const label = (...argv: string[]) => cluster.calctl(["label", "nodes", "host1", ...argv]);
  const labels = async () => (await cluster.client.get("Node", "host1")).metadata.labels;

  it("sets a label", async () => {
    assert.equal((await label("a.b/c=d")).stdout, "Successfully set label a.b/c on Node host1\n");
    assert.deepEqual(await labels(), { rack: "7", "a.b/c": "d" });
  });
  it("changes one only when told to", async () => {
    const { code, stderr } = await label("rack=8");
    assert.equal(code, 1);
    assert.match(stderr, /failed to update label of Node host1: key rack is already present with value "7"/);
    assert.equal(
      (await label("rack=8", "--overwrite")).stdout,
      "Successfully updated label rack on Node host1\n",
    );
    assert.deepEqual(await labels(), { rack: "8" });
  });
  it("removes one", async () => {
    assert.equal(
      (await label("rack", "--remove")).stdout,
      "Successfully removed label rack from Node host1\n",
    );
    assert.deepEqual((await labels()) ?? {}, {});
    assert.match((await label("rack", "--remove")).stderr, /it has no such label/);
  });
  for (const [argv, complaint] of [
    [["rack"], /expected key=value/],
    [["rack=1", "--remove"], /takes a key alone/],
    [["-x=1"], /unknown option/],
    [["a b=1"], /not a label key/],
    [["a=b c"], /not a label value/],
    [[`a=${"x".repeat(64)}`], /not a label value/],
  ] as const)
    it(`refuses ${argv.join(" ")}`, async () => {
      const { code, stderr } = await label(...argv);
      assert.equal(code, 1);
      assert.match(stderr, complaint);
    });
});

describe("calctl delete", () => {
  let cluster: Cluster;
  beforeEach(() => {
    cluster = new Cluster();
  });
  const create = async (stdin: string) =>
    assert.equal((await cluster.calctl(["create", "-f", "-"], { stdin })).code, 0);
  const missing = async (
    kind: "Profile" | "Node" | "IPPool" | "WorkloadEndpoint",
    name: string,
    namespace?: string,
  ) =>
    assert.rejects(cluster.client.get(kind, name, namespace), error => isDatastoreError(error, "NOT_FOUND"));
  const profile = (name: string) =>
    `apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: ${name}}\nspec: {}\n---\n`;

  it("deletes by name", async () => {
    await create(profile("a") + profile("b"));
    assert.deepEqual(await cluster.calctl(["delete", "profile", "a", "b"]), {
      code: 0,
      stdout: "Successfully deleted 2 'Profile' resource(s)\n",
      stderr: "",
    });
    await missing("Profile", "a");
  });
  it("deletes what files name, v1 names too", async () => {
    const v1 = "apiVersion: v1\nkind: profile\nmetadata: {name: cal_web}\nspec: {}\n";
    await create(v1);
    assert.equal(
      (await cluster.calctl(["delete", "-f", "-"], { stdin: v1 })).stdout,
      "Successfully deleted 1 'Profile' resource(s)\n",
    );
  });
  it("knows a network's profile by the network's name", async () => {
    await create("apiVersion: v1\nkind: profile\nmetadata: {name: cal_web}\nspec: {}\n");
    assert.equal((await cluster.calctl(["label", "profile", "cal_web", "a=b"])).code, 0);
    assert.match((await cluster.calctl(["get", "profile", "cal_web"])).stdout, /^cal-web-[0-9a-f]{8}$/m);
    assert.equal((await cluster.calctl(["delete", "profile", "cal_web"])).code, 0);
  });
  it("does not mind a spec that is no longer valid", async () => {
    await create(profile("a"));
    const { code } = await cluster.calctl(["delete", "-f", "-"], {
      stdin: "apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: a}\nspec: {old: 1}\n",
    });
    assert.equal(code, 0);
  });
  it("says what does not exist, unless that is fine", async () => {
    await create(profile("a"));
    const { code, stdout, stderr } = await cluster.calctl(["delete", "profile", "a", "nope"]);
    assert.deepEqual(
      [code, stdout, stderr],
      [
        1,
        "Partial success: deleted the first 1 out of 2 'Profile' resources:\n",
        "hit error: [resource does not exist: Profile(nope)]\n",
      ],
    );
    assert.equal((await cluster.calctl(["delete", "--skip-not-exists", "profile", "nope"])).code, 0);
  });
  it("takes what belongs to a node with it: endpoints, addresses, blocks, configuration", async () => {
    const { IpAllocator } = await import("../../../../ipam/allocator.ts");
    const allocator = new IpAllocator(cluster.datastore);
    await create(
      `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.1.0.0/16}\n---\n${node("host1")}`,
    );
    const { ipv4 } = await allocator.autoAssign({ node: "host1", use: "Workload", num4: 1, handle: "h" });
    const ip = ipv4[0]!.ip;
    await create(`apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {namespace: default, name: host1-cni-c1-eth0}
spec: {node: host1, orchestrator: cni, containerID: c1, endpoint: eth0, interfaceName: cali1, ipNetworks: [${ip}/32]}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {node: host1, peerIP: 10.0.0.9, asNumber: 64567}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.host1}
spec: {}
`);
    assert.equal(
      (await cluster.calctl(["delete", "node", "host1"])).stdout,
      "Successfully deleted 1 'Node' resource(s)\n",
    );
    await missing("Node", "host1");
    for (const kind of [
      "WorkloadEndpoint",
      "BGPPeer",
      "FelixConfiguration",
      "IPAMBlock",
      "BlockAffinity",
      "IPAMHandle",
    ] as const)
      assert.deepEqual((await cluster.datastore.list({ kind })).entries, [], kind);
  });
  it("disables a pool before its blocks are taken away", async () => {
    const { IpAllocator } = await import("../../../../ipam/allocator.ts");
    await create(
      `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.1.0.0/16}\n---\n${node("host1")}`,
    );
    await new IpAllocator(cluster.datastore).autoAssign({
      node: "host1",
      use: "Workload",
      num4: 1,
      handle: "h",
    });
    assert.equal((await cluster.calctl(["delete", "ippool", "p"])).code, 0);
    assert.equal(cluster.slept, 500);
    await missing("IPPool", "p");
    assert.deepEqual((await cluster.datastore.list({ kind: "BlockAffinity" })).entries, []);
  });
  it("does not delete a tier that is protected, or holds policies", async () => {
    await create(
      "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 5}\n---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: t.p}\nspec: {tier: t, selector: all()}\n",
    );
    const full = await cluster.calctl(["delete", "tier", "t"]);
    assert.equal(full.code, 1);
    assert.match(full.stderr, /not empty: it holds GlobalNetworkPolicy "t\.p"/);
    assert.match((await cluster.calctl(["delete", "tier", "default"])).stderr, /this tier is protected/);
  });
  for (const [argv, complaint] of [
    [["profile"], /give a kind and names/],
    [[], /give a kind and names/],
    [["frobs", "x"], /resource type 'frobs' is not supported/],
    [["clusterinfo", "default"], /the cluster itself writes it/],
  ] as const)
    it(`refuses ${argv.join(" ") || "nothing"}`, async () => {
      const { code, stderr } = await cluster.calctl(["delete", ...argv]);
      assert.equal(code, 1);
      assert.match(stderr, complaint);
    });
});
