import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureInitialized } from "../../../../datastore/init.ts";
import { Cluster } from "../harness.ts";

function endpoint(name: string, address: string, role: string): string {
  return `apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata:
  name: host1-k8s-${name}-eth0
  namespace: shop
  labels: {role: ${role}, projectcalico.org/orchestrator: k8s, projectcalico.org/namespace: shop}
spec:
  orchestrator: k8s
  node: host1
  pod: ${name}
  endpoint: eth0
  ipNetworks: [${address}/32]
  interfaceName: cali${name}
  profiles: [kns.shop]
---
`;
}

const LIVE = `${endpoint("web", "10.65.0.1", "web")}${endpoint("db", "10.65.0.2", "db")}${endpoint("spy", "10.65.0.3", "spy")}apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: kns.shop}
spec: {ingress: [{action: Allow}], egress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  selector: role == 'db'
  ingress:
  - action: Allow
    source: {selector: "role in {'web', 'spy'}"}
`;

const CHANGE = `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  selector: role == 'db'
  ingress:
  - action: Allow
    protocol: TCP
    source: {selector: role == 'web'}
    destination: {ports: [5432]}
  - action: Allow
    protocol: TCP
    source: {nets: [192.0.2.0/24]}
    destination: {ports: [5432]}
`;

describe("calctl simulate --diff", () => {
  let cluster: Cluster;
  let folder: string;
  beforeEach(async () => {
    cluster = new Cluster();
    folder = mkdtempSync(join(tmpdir(), "simulate-diff-"));
    await ensureInitialized(cluster.datastore);
    write("live.yml", LIVE);
    assert.equal((await cluster.calctl(["apply", "-f", "live.yml"], { cwd: folder })).stderr, "");
    write("change.yml", CHANGE);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const diff = (...argv: string[]) => cluster.calctl(["simulate", "--diff", ...argv], { cwd: folder });
  const json = async (...argv: string[]) => {
    const { stdout, stderr } = await diff(...argv, "-o", "json");
    assert.equal(stderr, "");
    return JSON.parse(stdout);
  };

  it("says which flows open and close, and by which rules", async () => {
    const { code, stdout, stderr } = await diff("-f", "change.yml");
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.equal(
      stdout,
      `opens outside 192.0.2.0/24 -> shop/db
  TCP 5432
  before: deny, ingress by tier default: no rule matches
  after:  allow, ingress by NetworkPolicy shop/db ingress[1] (change.yml:11:5)

closes shop/spy -> shop/db
  everything
  before: allow, egress by Profile kns.shop egress[0], ingress by NetworkPolicy shop/db ingress[0]
  after:  deny, ingress by tier default: no rule matches

closes shop/web -> shop/db
  everything except TCP 5432
  before: allow, egress by Profile kns.shop egress[0], ingress by NetworkPolicy shop/db ingress[0]
  after:  deny, ingress by tier default: no rule matches

Flows open between 1 pair, close between 2.
Compared on every protocol and port that rules tell apart (32 packets): 3 endpoints, 0 hosts, 2 parts of the world outside.
`,
    );
  });

  it("changes nothing", async () => {
    const before = await cluster.datastore.list({ kind: "NetworkPolicy" });
    await diff("-f", "change.yml");
    assert.deepEqual(await cluster.datastore.list({ kind: "NetworkPolicy" }), before);
  });

  it("says it to programs", async () => {
    const { opens, closes, added, removed } = await json("-f", "change.yml");
    assert.deepEqual([added, removed], [[], []]);
    assert.deepEqual(opens[0].from, ["outside:192.0.2.0/24"]);
    assert.deepEqual(opens[0].to, ["shop/db"]);
    assert.deepEqual(opens[0].traffic, [{ protocol: "TCP", ports: ["5432"] }]);
    assert.equal(opens[0].before.verdict, "deny");
    assert.equal(opens[0].after.ingress.source.at, "change.yml:11:5");
    assert.deepEqual(
      closes.map(({ from, to }: { from: string[]; to: string[] }) => [from, to]),
      [
        [["shop/spy"], ["shop/db"]],
        [["shop/web"], ["shop/db"]],
      ],
    );
  });

  it("exits with 3 where a flow closes that must not, and 0 where none does", async () => {
    const closing = await diff("-f", "change.yml", "--fail-on-close");
    assert.equal(closing.code, 3);
    assert.match(closing.stdout, /^closes shop\/web/m);
    assert.equal(closing.stderr, "flows would close, which --fail-on-close forbids\n");
    write("open.yml", LIVE.slice(LIVE.lastIndexOf("---\n") + 4).replace("role in {'web', 'spy'}", "all()"));
    const opening = await diff("-f", "open.yml", "--fail-on-close");
    assert.deepEqual([opening.code, opening.stderr], [0, ""]);
  });

  it("says so where nothing changes", async () => {
    const { stdout } = await diff("-f", "live.yml");
    assert.match(stdout, /^No flow opens, no flow closes\.\nCompared on /);
  });

  it("knows what deleting would do", async () => {
    const { stdout } = await diff("-f", "live.yml", "--delete");
    assert.match(stdout, /^shop\/db, shop\/spy, shop\/web: gone, and all of its flows$/m);
    write("policy.yml", LIVE.slice(LIVE.lastIndexOf("---\n") + 4));
    const { opens, closes } = await json("-f", "policy.yml", "--delete");
    assert.deepEqual(closes, []);
    assert.deepEqual(opens[0].from, ["outside:other-ipv4"]);
  });

  it("knows what staged policies would do, of the cluster and of the change", async () => {
    const staged = CHANGE.replace("kind: NetworkPolicy", "kind: StagedNetworkPolicy");
    write("staged.yml", staged);
    assert.deepEqual((await json("-f", "staged.yml")).closes, []);
    assert.equal((await json("-f", "staged.yml", "--staged")).closes.length, 2);
    await cluster.calctl(["apply", "-f", "staged.yml"], { cwd: folder });
    assert.equal((await json("--staged")).closes.length, 2);
  });

  it("knows changed labels, network sets and profiles", async () => {
    write("label.yml", endpoint("spy", "10.65.0.3", "other"));
    assert.deepEqual((await json("-f", "label.yml")).closes[0].from, ["shop/spy"]);
    write(
      "profile.yml",
      "apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: kns.shop}\nspec: {ingress: [{action: Allow}]}\n",
    );
    const { closes } = await json("-f", "profile.yml");
    assert.deepEqual([...new Set(closes.flatMap(({ from }: { from: string[] }) => from))].sort(), [
      "shop/db",
      "shop/spy",
      "shop/web",
    ]);
  });

  it("takes Kubernetes' policies too", async () => {
    write(
      "knp.yml",
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: shop}\nspec: {podSelector: {}}\n",
    );
    const { closes } = await json("-f", "knp.yml");
    assert.deepEqual(closes[0].after.ingress, { verdict: "deny", tier: "default", default: "tier-default" });
  });

  describe("refuses", () => {
    it("what applying would refuse, where it is written", async () => {
      write("bad.yml", CHANGE.replace("spec:", "spec:\n  tier: nowhere"));
      const { code, stdout, stderr } = await diff("-f", "bad.yml");
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /^bad\.yml:5:3: spec\.tier: /m);
    });
    it("to delete what is not there", async () => {
      write("gone.yml", CHANGE.replace("name: db", "name: gone"));
      const { code, stderr } = await diff("-f", "gone.yml", "--delete");
      assert.equal(code, 1);
      assert.match(stderr, /^gone\.yml:1:1: resource does not exist: NetworkPolicy\(shop\/gone\)$/m);
    });
    for (const [argv, complaint] of [
      [["--diff"], /give the change as a file/],
      [["--diff", "-f", "change.yml", "--probes", "x"], /takes no --probes/],
      [["--diff", "-f", "change.yml", "-o", "matrix"], /prints a table or json/],
      [["-f", "change.yml", "--fail-on-close"], /add --diff/],
      [["-f", "change.yml", "--delete"], /add --diff/],
    ] as const)
      it(argv.join(" "), async () => {
        const { code, stderr } = await cluster.calctl(["simulate", ...argv], { cwd: folder });
        assert.equal(code, 1);
        assert.match(stderr, complaint);
      });
  });

  it("leaves out what is stored and not valid, as agents do, and says so", async () => {
    const bad = {
      apiVersion: "projectcalico.org/v3",
      kind: "GlobalNetworkPolicy",
      metadata: { name: "bad" },
      spec: { selector: "==" },
    };
    await cluster.datastore.create({ kind: "GlobalNetworkPolicy", name: "bad" }, bad);
    const { code, stderr } = await diff("-f", "change.yml");
    assert.equal(code, 0);
    assert.match(stderr, /^warning: left out, as it is not valid: GlobalNetworkPolicy\(bad\): /);
    assert.equal(stderr.split("\n").length, 2);
  });

  it("asks the live state itself without files and without --diff", async () => {
    const { stdout } = await cluster.calctl(["simulate"], { cwd: folder });
    assert.match(stdout, /^2 {2}shop\/spy and 1 more +any +O O$/m);
  });
});
