import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatastoreError } from "../../../../datastore/errors.ts";
import { v1ProfileName } from "../../../../policy/convert/v1-names.ts";
import { Cluster } from "../harness.ts";

const WEB = `- apiVersion: v1
  kind: profile
  metadata:
    name: cal_web
  spec:
    ingress:
      - action: allow
        protocol: tcp
        source:
          tag: cal_net2
        destination:
          ports:
            - 80
`;
const POOL = "apiVersion: v1\nkind: ipPool\nmetadata:\n  cidr: 17.2.0.0/16\n";

function profile(name: string, label = "x"): string {
  return `apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: ${name}}\nspec: {labelsToApply: {l: ${label}}}\n---\n`;
}

function networkSet(name: string, namespace?: string): string {
  const metadata = namespace === undefined ? `{name: ${name}}` : `{name: ${name}, namespace: ${namespace}}`;
  return `apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: ${metadata}\nspec: {nets: [10.0.0.0/8]}\n---\n`;
}

describe("calctl apply, create, replace", () => {
  let cluster: Cluster;
  let folder: string;
  beforeEach(() => {
    cluster = new Cluster();
    folder = mkdtempSync(join(tmpdir(), "calctl-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const calctl = (...argv: string[]) => cluster.calctl(argv, { cwd: folder });

  it("applies a v1 profile as it is to the profile of the network of that name", async () => {
    write("web.yml", WEB);
    assert.deepEqual(await calctl("apply", "-f", "web.yml"), {
      code: 0,
      stdout: "Successfully applied 1 'Profile' resource(s)\n",
      stderr: "",
    });
    const { spec } = await cluster.client.get("Profile", v1ProfileName("cal_web"));
    assert.deepEqual(spec.ingress, [
      {
        action: "Allow",
        protocol: "TCP",
        source: { selector: "cal_net2 == ''" },
        destination: { ports: [80] },
      },
    ]);
    assert.equal(spec.labelsToApply?.["cal_web"], "");
  });

  it("creates a v1 pool from stdin", async () => {
    const ran = await cluster.calctl(["create", "-f", "-"], { stdin: POOL });
    assert.deepEqual(ran, { code: 0, stdout: "Successfully created 1 'IPPool' resource(s)\n", stderr: "" });
    assert.equal((await cluster.client.get("IPPool", "17-2-0-0-16")).spec.cidr, "17.2.0.0/16");
  });

  it("applies again what changed, keeping who it is", async () => {
    write("p.yaml", profile("p", "one"));
    await calctl("apply", "-f", "p.yaml");
    const before = await cluster.client.get("Profile", "p");
    write("p.yaml", profile("p", "two"));
    assert.equal((await calctl("apply", "-f", "p.yaml")).code, 0);
    const after = await cluster.client.get("Profile", "p");
    assert.equal(after.spec.labelsToApply?.["l"], "two");
    assert.equal(after.metadata.uid, before.metadata.uid);
    assert.equal(after.metadata.creationTimestamp, before.metadata.creationTimestamp);
  });

  it("says the kind once where all are of one, and none where they mix", async () => {
    write("two.yaml", profile("a") + profile("b"));
    assert.equal(
      (await calctl("apply", "-f", "two.yaml")).stdout,
      "Successfully applied 2 'Profile' resource(s)\n",
    );
    write("mixed.yaml", profile("a") + networkSet("s"));
    assert.equal((await calctl("apply", "-f", "mixed.yaml")).stdout, "Successfully applied 2 resource(s)\n");
  });

  it("puts namespaced resources into the namespace given, or default, unless they say their own", async () => {
    write("sets.yaml", networkSet("a") + networkSet("b", "own"));
    await calctl("apply", "-f", "sets.yaml");
    await calctl("apply", "-n", "prod", "-f", "sets.yaml");
    for (const [name, namespace] of [
      ["a", "default"],
      ["a", "prod"],
      ["b", "own"],
    ] as const)
      assert.equal((await cluster.client.get("NetworkSet", name, namespace)).metadata.namespace, namespace);
  });

  describe("reads", () => {
    it("folders, and with -R the folders in them, in order, and only YAML and JSON", async () => {
      mkdirSync(join(folder, "sub"));
      write(
        "b.json",
        JSON.stringify({
          apiVersion: "projectcalico.org/v3",
          kind: "Tier",
          metadata: { name: "t" },
          spec: { order: 5 },
        }),
      );
      write("a.yaml", profile("p"));
      write("README.md", "not a resource");
      write("sub/c.yml", profile("q"));
      assert.equal((await calctl("apply", "-f", ".")).stdout, "Successfully applied 2 resource(s)\n");
      assert.equal((await calctl("apply", "-R", "-f", ".")).stdout, "Successfully applied 3 resource(s)\n");
    });
    it("several files", async () => {
      write("a.yaml", profile("a"));
      write("b.yaml", profile("b"));
      assert.equal(
        (await calctl("apply", "-f", "a.yaml", "-f", "b.yaml")).stdout,
        "Successfully applied 2 'Profile' resource(s)\n",
      );
    });
    it("what get prints", async () => {
      write("a.yaml", profile("a") + profile("b"));
      await calctl("create", "-f", "a.yaml");
      const { stdout } = await calctl("get", "profile", "-o", "yaml", "--export");
      const other = new Cluster();
      assert.equal((await other.calctl(["create", "--skip-exists", "-f", "-"], { stdin: stdout })).code, 0);
      assert.equal((await other.client.get("Profile", "b")).spec.labelsToApply?.["l"], "x");
    });
  });

  describe("refuses, and writes nothing of the whole input,", () => {
    const refused: [what: string, text: string, complaints: RegExp[]][] = [
      [
        "wrong values and unknown fields, all of them, where they stand",
        `${profile("good")}apiVersion: projectcalico.org/v3
kind: Profile
metadata:
  name: bad
spec:
  ingress:
    - action: Allow
      protocol: tpc
      source: {nets: [10.0.0.300/8]}
  ingres: []
`,
        [
          /^in\.yaml:13:7: spec\.ingress\[0\]\.protocol: "tpc" is not .*TCP/m,
          /^in\.yaml:14:23: spec\.ingress\[0\]\.source\.nets\[0\]: "10\.0\.0\.300\/8" is not /m,
          /^in\.yaml:15:3: spec\.ingres: field in document is not recognized or is in the wrong location: ingres/m,
        ],
      ],
      [
        "an unknown kind",
        `${profile("good")}apiVersion: projectcalico.org/v3\nkind: Profil\nmetadata: {name: x}\n`,
        [/^in\.yaml:7:1: kind: unknown kind "Profil" \(did you mean "Profile"\?\); expected one of/m],
      ],
      [
        "a wrong apiVersion",
        "apiVersion: projectcalico.org/v2\nkind: Profile\nmetadata: {name: x}\n",
        [
          /^in\.yaml:1:1: apiVersion: unknown apiVersion "projectcalico.org\/v2"; expected projectcalico\.org\/v3$/m,
        ],
      ],
      [
        "no kind",
        "apiVersion: projectcalico.org/v3\nmetadata: {name: x}\n",
        [/^in\.yaml:1:1: kind: kind is missing/m],
      ],
      [
        "Kubernetes' own kinds",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n",
        [/calctl convert/],
      ],
      [
        "no name",
        "apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {}\n",
        [/^in\.yaml:3:1: metadata\.name: /m],
      ],
      ["text instead of resources", "just text\n", [/^in\.yaml:1:1: the document is not a resource/m]],
      [
        "a bad selector",
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: x}\nspec:\n  selector: role = 'web'\n",
        [/^in\.yaml:5:3: spec\.selector: /m],
      ],
      [
        "malformed YAML in one document and a mistake in another",
        `a: [\n---\n${profile("good")}kind: Profile\n`,
        [/^in\.yaml:\d+:\d+: malformed YAML/m],
      ],
      [
        "v1 documents with mistakes, where they stand",
        WEB.replace("protocol: tcp", "protocol: tpc").replace("ports:", "prts:"),
        [
          /^in\.yaml:8:9: spec\.ingress\[0\]\.protocol: /m,
          /^in\.yaml:12:11: spec\.ingress\[0\]\.destination\.prts: /m,
        ],
      ],
      [
        "a pool smaller than a block",
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: x}\nspec: {cidr: 10.0.0.0/28}\n",
        [/^in\.yaml:4:\d+: spec\./m],
      ],
    ];
    for (const [what, text, complaints] of refused)
      it(what, async () => {
        write("in.yaml", text);
        for (const verb of ["apply", "create", "replace", "validate"]) {
          const { code, stdout, stderr } = await calctl(verb, "-f", "in.yaml");
          assert.equal(code, 1);
          assert.equal(stdout, "");
          for (const complaint of complaints) assert.match(stderr, complaint);
        }
        assert.deepEqual(
          (await cluster.datastore.list({ kind: "Profile" })).entries.filter(
            entry => entry.key.name === "good",
          ),
          [],
        );
      });
    it("without asking the datastore", () => assert.equal(cluster.opened, 0));
  });

  describe("partial success", () => {
    beforeEach(async () => {
      write("b.yaml", profile("b"));
      await calctl("create", "-f", "b.yaml");
      write("abc.yaml", profile("a") + profile("b") + profile("c"));
    });
    it("is told as such, and what failed is told with its place", async () => {
      assert.deepEqual(await calctl("create", "-f", "abc.yaml"), {
        code: 1,
        stdout: "Partial success: created the first 2 out of 3 'Profile' resources:\n",
        stderr: "hit error: [abc.yaml:6:1: resource already exists: Profile(b)]\n",
      });
    });
    it("is success where existing ones may be skipped", async () => {
      assert.deepEqual(await calctl("create", "--skip-exists", "-f", "abc.yaml"), {
        code: 0,
        stdout: "Successfully created 2 'Profile' resource(s)\nSkipped 1 resource(s)\n",
        stderr: "",
      });
    });
    it("is failure where nothing went well", async () => {
      assert.deepEqual(await calctl("create", "-f", "b.yaml"), {
        code: 1,
        stdout: "",
        stderr: "failed to create 'Profile' resource: [b.yaml:1:1: resource already exists: Profile(b)]\n",
      });
    });
    it("ends at once when the datastore is gone, in one sentence", async () => {
      cluster.datastore.store.onOperation = (operation, path) => {
        if (operation === "create" && path.endsWith("/b2"))
          throw new DatastoreError("UNAVAILABLE", { message: "cannot reach etcd at http://127.0.0.1:2379" });
      };
      write("ab2c.yaml", profile("a") + profile("b2") + profile("c"));
      const { code, stdout, stderr } = await calctl("create", "-f", "ab2c.yaml");
      assert.deepEqual(
        [code, stdout],
        [1, "Partial success: created the first 1 out of 3 'Profile' resources:\n"],
      );
      assert.match(stderr, /^[^\n]*cannot reach etcd[^\n]*\n$/);
    });
  });

  it("says where the pools overlap, in v1 documents too", async () => {
    write("pool.yml", POOL);
    await calctl("create", "-f", "pool.yml");
    write("inside.yml", POOL.replace("17.2.0.0/16", "17.2.8.0/24"));
    const { code, stderr } = await calctl("create", "-f", "inside.yml");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\[inside\.yml:4:3: spec\.cidr: 17\.2\.8\.0\/24 overlaps with the pool "17-2-0-0-16"/,
    );
  });

  describe("replace", () => {
    beforeEach(async () => {
      write("p.yaml", profile("p", "one"));
      await calctl("create", "-f", "p.yaml");
    });
    it("replaces what exists", async () => {
      write("p.yaml", profile("p", "two"));
      assert.equal(
        (await calctl("replace", "-f", "p.yaml")).stdout,
        "Successfully replaced 1 'Profile' resource(s)\n",
      );
      assert.equal((await cluster.client.get("Profile", "p")).spec.labelsToApply?.["l"], "two");
    });
    it("does not create", async () => {
      write("q.yaml", profile("q"));
      const { code, stderr } = await calctl("replace", "-f", "q.yaml");
      assert.deepEqual(
        [code, stderr],
        [1, "failed to replace 'Profile' resource: [q.yaml:1:1: resource does not exist: Profile(q)]\n"],
      );
    });
    it("of a version that is no longer there writes nothing", async () => {
      const { stdout: old } = await calctl("get", "profile", "p", "-o", "yaml");
      write("p.yaml", profile("p", "two"));
      await calctl("apply", "-f", "p.yaml");
      const ran = await cluster.calctl(["replace", "-f", "-"], { stdin: old });
      assert.equal(ran.code, 1);
      assert.match(ran.stderr, /<stdin>:1:1: update conflict: Profile\(p\)/);
      assert.equal((await cluster.client.get("Profile", "p")).spec.labelsToApply?.["l"], "two");
    });
  });

  describe("empty input", () => {
    it("is an error", async () => {
      write("empty.yaml", "# nothing\n---\n");
      const { code, stderr } = await calctl("apply", "-f", "empty.yaml");
      assert.deepEqual([code, stderr], [1, "No resources specified in empty.yaml\n"]);
    });
    it("is none with --skip-empty", async () => {
      write("empty.yaml", "");
      assert.deepEqual(await calctl("apply", "--skip-empty", "-f", "empty.yaml"), {
        code: 0,
        stdout: "No resources specified\n",
        stderr: "",
      });
    });
    it("includes folders without files, and files that are missing are something else", async () => {
      mkdirSync(join(folder, "none"));
      assert.match((await calctl("apply", "-f", "none")).stderr, /^No resources specified in none\n$/);
      assert.match(
        (await calctl("apply", "-f", "nope.yaml")).stderr,
        /^nope\.yaml: no such file or folder\n$/,
      );
    });
  });

  describe("what users may not write", () => {
    const cases: [what: string, text: string, complaint: RegExp][] = [
      [
        "ClusterInformation",
        "apiVersion: projectcalico.org/v3\nkind: ClusterInformation\nmetadata: {name: default}\nspec: {}\n",
        /the cluster itself writes it/,
      ],
      ["the built-in profile", profile("projectcalico-default-allow"), /built in/],
      [
        "policies of the Kubernetes controllers",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: knp.default.x}\nspec: {}\n",
        /belong to the Kubernetes controllers/,
      ],
    ];
    for (const [what, text, complaint] of cases)
      it(what, async () => {
        write("in.yaml", text);
        const { code, stderr } = await calctl("apply", "-f", "in.yaml");
        assert.equal(code, 1);
        assert.match(stderr, complaint);
      });
  });

  it("validate needs no datastore", async () => {
    write("web.yml", WEB);
    assert.equal(
      (await calctl("validate", "-f", "web.yml")).stdout,
      "Successfully validated 1 'Profile' resource(s)\n",
    );
    assert.equal(cluster.opened, 0);
  });
  it("closes its connection whatever happens", async () => {
    write("p.yaml", profile("p"));
    await calctl("create", "-f", "p.yaml");
    await calctl("create", "-f", "p.yaml");
    assert.deepEqual([cluster.opened, cluster.closed], [2, 2]);
  });
});

describe("calctl convert", () => {
  const convert = (stdin: string, ...argv: string[]) =>
    new Cluster().calctl(["convert", "-f", "-", ...argv], { stdin });

  it("prints v3 for v1", async () => {
    const { code, stdout } = await convert(POOL);
    assert.equal(code, 0);
    assert.match(stdout, /^apiVersion: projectcalico\.org\/v3\nkind: IPPool\n/);
    assert.match(stdout, /cidr: 17\.2\.0\.0\/16/);
  });
  it("prints a List for several, as JSON if asked for", async () => {
    const { stdout } = await convert(`${POOL}---\n${WEB}`, "-o", "json");
    const list = JSON.parse(stdout);
    assert.equal(list.kind, "List");
    assert.deepEqual(
      list.items.map((item: { kind: string }) => item.kind),
      ["IPPool", "Profile"],
    );
  });
  it("takes Kubernetes' policies, into a name that users may write", async () => {
    const { code, stdout } = await convert(
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: prod}\nspec:\n  podSelector: {matchLabels: {app: web}}\n  ingress: [{ports: [{port: 80}]}]\n",
      "-o",
      "json",
    );
    assert.equal(code, 0);
    const { kind, metadata, spec } = JSON.parse(stdout);
    assert.deepEqual([kind, metadata.name, metadata.namespace], ["NetworkPolicy", "web", "prod"]);
    assert.match(spec.selector, /app == ['"]web['"]/);
  });
  it("takes the cluster's policies too, and fails closed where they say what it cannot", async () => {
    const policy = (rule: string) =>
      `apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: guard}\nspec:\n  tier: Admin\n  priority: 3\n  subject: {namespaces: {}}\n  egress:\n  - ${rule}\n`;
    const good = await convert(policy("{action: Deny, to: [{networks: [10.0.0.0/8]}]}"), "-o", "json");
    assert.equal(good.code, 0);
    const { kind, metadata, spec } = JSON.parse(good.stdout);
    assert.deepEqual(
      [kind, metadata.name, spec.tier, spec.order],
      ["GlobalNetworkPolicy", "guard", "kube-admin", 3],
    );
    const odd = policy("{action: Deny, to: [{domainNames: [example.org]}]}");
    const refused = await convert(odd);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /^<stdin>:9:26: spec\.egress\[0\]\.to\[0\]\.domainNames: .*denies everything/m,
    );
    const anyway = await convert(odd, "--ignore-validation", "-o", "json");
    assert.deepEqual(JSON.parse(anyway.stdout).spec.egress, [{ action: "Deny" }]);
  });
  it("says where a Kubernetes policy is wrong", async () => {
    const { code, stderr } = await convert(
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec:\n  podSelector: {}\n  ingres: []\n",
    );
    assert.equal(code, 1);
    assert.match(stderr, /^<stdin>:6:3: spec\.ingres: /);
  });
  it("prints what is not valid only with --ignore-validation, and warns", async () => {
    const bad = POOL.replace("17.2.0.0/16", "17.2.0.0/30");
    const refused = await convert(bad);
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    const { code, stdout, stderr } = await convert(bad, "--ignore-validation");
    assert.equal(code, 0);
    assert.match(stdout, /17\.2\.0\.0\/30/);
    assert.match(stderr, /^warning: <stdin>:/);
  });
});
