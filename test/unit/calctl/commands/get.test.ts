import assert from "node:assert/strict";
import { parse } from "yaml";
import { Cluster } from "../harness.ts";

const STATE = `
apiVersion: projectcalico.org/v3
kind: List
items:
  - {apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: web, namespace: default}, spec: {order: 10, selector: "app == 'web'"}}
  - {apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: db, namespace: prod}, spec: {order: 20}}
  - {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p1}, spec: {cidr: 10.1.0.0/16, natOutgoing: true}}
  - {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p2}, spec: {cidr: 10.2.0.0/16}}
  - {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: host1}, spec: {bgp: {ipv4Address: 10.0.0.1/24}}}
  - {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {asNumber: 64999}}
`;

describe("calctl get", () => {
  let cluster: Cluster;
  before(async () => {
    cluster = new Cluster();
    await cluster.calctl(["create", "-f", "-"], {
      stdin:
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: default}\nspec: {order: 1000000, defaultAction: Deny}\n",
    });
    const { code, stderr } = await cluster.calctl(["create", "-f", "-"], { stdin: STATE });
    assert.equal(code, 0, stderr);
  });

  const get = (...argv: string[]) => cluster.calctl(["get", ...argv]);

  it("lists a kind as a table, by any of its names", async () => {
    const table = "NAME   CIDR          SELECTOR\np1     10.1.0.0/16   all()\np2     10.2.0.0/16   all()\n\n";
    for (const name of ["ippool", "ippools", "IPPool", "pool", "ipp"])
      assert.deepEqual(await get(name), { code: 0, stdout: table, stderr: "" });
  });
  it("shows the wide columns", async () => {
    assert.equal(
      (await get("ippool", "p1", "-o", "wide")).stdout,
      [
        "NAME   CIDR          NAT    IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR   ASSIGNMENTMODE",
        "p1     10.1.0.0/16   true   Never      Never       false      false              all()      Automatic",
        "",
        "",
      ].join("\n"),
    );
  });
  it("shows the cluster's AS number for nodes without one", async () => {
    assert.equal(
      (await get("node", "-o", "wide")).stdout,
      "NAME    ASN       IPV4          IPV6\nhost1   (64999)   10.0.0.1/24\n\n",
    );
  });
  it("looks into the namespace default unless told another, or all", async () => {
    assert.equal((await get("policy")).stdout, "NAME   TIER\nweb    default\n\n");
    assert.equal(
      (await get("policy", "-n", "prod")).stdout,
      "NAMESPACE   NAME   TIER\nprod        db     default\n\n",
    );
    for (const all of ["-A", "--all-namespaces", "-a"])
      assert.equal(
        (await get("policy", all)).stdout,
        "NAMESPACE   NAME   TIER\ndefault     web    default\nprod        db     default\n\n",
      );
  });
  it("shows one resource as itself and a list as a list", async () => {
    const one = JSON.parse((await get("ippool", "p1", "-o", "json")).stdout);
    assert.deepEqual([one.kind, one.spec.cidr], ["IPPool", "10.1.0.0/16"]);
    assert.ok(one.metadata.resourceVersion && one.metadata.uid);
    const list = parse((await get("ippool", "-o", "yaml")).stdout);
    assert.equal(list.kind, "IPPoolList");
    assert.equal(list.items.length, 2);
    assert.ok(list.metadata.resourceVersion);
  });
  it("leaves out what only this cluster means with --export", async () => {
    assert.deepEqual(JSON.parse((await get("ippool", "p1", "-o", "json", "--export")).stdout).metadata, {
      name: "p1",
    });
  });
  it("shows columns of choice and templates", async () => {
    assert.equal(
      (await get("ippool", "-o", "custom-columns=CIDR,NAT")).stdout,
      "CIDR          NAT\n10.1.0.0/16   true\n10.2.0.0/16   false\n\n",
    );
    assert.equal(
      (await get("ippool", "-o", "go-template={{range .}}{{range .Items}}{{.Spec.CIDR}};{{end}}{{end}}"))
        .stdout,
      "10.1.0.0/16;10.2.0.0/16;",
    );
  });
  it("shows what files name", async () => {
    const ran = await cluster.calctl(["get", "-f", "-", "-o", "custom-columns=NAME"], {
      stdin: "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p2}\n",
    });
    assert.deepEqual(ran, { code: 0, stdout: "NAME\np2\n\n", stderr: "" });
  });
  it("shows those that exist and says which do not", async () => {
    assert.deepEqual(await get("ippool", "p1", "nope", "-o", "custom-columns=NAME"), {
      code: 1,
      stdout: "NAME\np1\n\n",
      stderr: "resource does not exist: IPPool(nope)\n",
    });
  });
  it("shows an empty table where there is nothing", async () => {
    assert.deepEqual(await get("hostendpoint"), { code: 0, stdout: "NAME   NODE\n\n", stderr: "" });
  });

  describe("refuses", () => {
    const cases: [argv: string[], complaint: RegExp][] = [
      [["netwrkpolicy"], /resource type 'netwrkpolicy' is not supported \(did you mean "networkpolicy"\?\)/],
      [["ipamblock"], /record of the IPAM/],
      [[], /give a kind/],
      [["policy", "-f", "x.yaml"], /not both/],
      [["policy", "-A", "-n", "x"], /exclude each other/],
      [["policy", "web", "-A"], /takes no names/],
      [["ippool", "-o", "yml"], /unrecognized output format 'yml'/],
      [["ippool", "-o", "custom-columns=FOO"], /IPPool has no column FOO/],
      [["ippool", "-o", "go-template={{.x"], /template:1:1: action is not closed/],
      [["ippool", "--outptu", "yaml"], /unknown option '--outptu'[\s\S]*Did you mean --output/],
    ];
    for (const [argv, complaint] of cases)
      it(argv.join(" ") || "nothing", async () => {
        const { code, stdout, stderr } = await get(...argv);
        assert.deepEqual([code, stdout], [1, ""]);
        assert.match(stderr, complaint);
      });
  });
});
