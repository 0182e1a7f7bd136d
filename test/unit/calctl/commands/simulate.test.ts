import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caseFile, documentsOf, readCases } from "../../policy/netpol-cases.ts";
import { Cluster } from "../harness.ts";

const SHOP = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}, {name: https, containerPort: 443}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, ports: [{name: pg, containerPort: 5432}]}]}
status: {podIP: 10.65.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {containers: [{name: c}]}
`;

const POLICIES = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - ports: [{port: http}]
    - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
`;

describe("calctl simulate", () => {
  let cluster: Cluster;
  let folder: string;
  beforeEach(() => {
    cluster = new Cluster();
    folder = mkdtempSync(join(tmpdir(), "simulate-"));
    mkdirSync(join(folder, "shop", "policies"), { recursive: true });
    write("shop/pods.yml", SHOP);
    write("shop/policies/all.yml", POLICIES);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
    assert.equal(cluster.opened, 0, "a datastore was opened");
  });

  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const simulate = (...argv: string[]) => cluster.calctl(["simulate", ...argv], { cwd: folder });
  const json = async (...argv: string[]) => {
    const { code, stdout, stderr } = await simulate(...argv, "-o", "json");
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };

  describe("answers probes", () => {
    it("with the rule that decides in each direction, where it was written", async () => {
      write("probes.yml", "- {from: shop/web, to: shop/db, port: pg, note: kept}\n");
      assert.deepEqual(await json("-f", "shop", "--probes", "probes.yml"), [
        {
          from: "shop/web",
          to: "shop/db",
          port: "pg",
          note: "kept",
          verdict: "allow",
          egress: { verdict: "allow", profile: "kns.shop", rule: 0 },
          ingress: {
            verdict: "allow",
            tier: "default",
            policy: "np/shop/knp.default.db",
            rule: 0,
            source: {
              kind: "NetworkPolicy",
              name: "shop/db",
              path: "spec.ingress[0]",
              at: "shop/policies/all.yml:16:7",
            },
          },
        },
      ]);
    });

    it("with the default that decides where no rule does, and with nothing for ends that are nobody's", async () => {
      write("probes.json", JSON.stringify([{ from: "8.8.8.8", to: "shop/db", port: 5432, protocol: "tcp" }]));
      const [answer] = await json("-f", "shop", "--probes", "probes.json");
      assert.equal(answer.egress, null);
      assert.deepEqual(answer.ingress, { verdict: "deny", tier: "default", default: "tier-default" });
    });

    const asked: [probe: string, verdict: string][] = [
      ["{from: client, to: web, port: 80}", "allow"],
      ["{from: default/client, to: shop/web, port: https}", "deny"],
      ["{from: client, to: shop/web, port: 80, protocol: UDP}", "deny"],
      ["{from: client, to: shop/web, protocol: ICMP}", "deny"],
      ["{from: 10.2.0.1, to: shop/web, protocol: 1, icmp: {type: 8}}", "allow"],
      ["{from: 10.2.0.1, to: shop/web, protocol: 132, port: 9}", "allow"],
      ["{from: 10.1.0.1, to: shop/web, protocol: SCTP, port: 9}", "deny"],
      ["{from: shop/db, to: 192.0.2.1, protocol: 47}", "allow"],
      ["{from: 10.65.0.2, to: client, port: 22, protocol: 6}", "allow"],
    ];
    for (const [probe, verdict] of asked)
      it(`${probe}: ${verdict}`, async () => {
        write("probes.yml", `- ${probe}\n`);
        assert.equal((await json("-f", "shop", "--probes", "probes.yml"))[0].verdict, verdict);
      });

    it("as a table, a line for each", async () => {
      write(
        "probes.yml",
        "- {from: client, to: shop/db, port: 5432}\n- {from: client, to: shop/web, port: 80}\n",
      );
      const { stdout } = await simulate("-f", "shop", "--probes", "probes.yml");
      const lines = stdout.split("\n").map(line => line.replace(/ {2,}/g, " | "));
      assert.equal(
        lines[1],
        "default/client | shop/db | 5432/TCP | deny | profile kns.default | tier default: no rule matches",
      );
      assert.match(
        lines[2]!,
        /allow \| profile kns.default \| NetworkPolicy shop\/web ingress\[0\] \(shop\/policies\/all\.yml:7:7\)$/,
      );
    });

    it("as a matrix of those they name", async () => {
      write(
        "probes.yml",
        "- {from: client, to: shop/web, port: 80}\n- {from: client, to: shop/web, port: 443}\n- {from: 9.9.9.9, to: shop/db, port: 1}\n",
      );
      const { stdout } = await simulate("-f", "shop", "--probes", "probes.yml", "-o", "matrix");
      assert.equal(
        stdout,
        `   FROM            PORTS            TO  3 4
1  9.9.9.9                              . -
2  default/client                       - a
3  shop/db         1/TCP                - -
4  shop/web        80/TCP, 443/TCP      - -

O  open   .  closed   -  not asked
a  80/TCP
`,
      );
    });

    it("as tests, where they say what they expect", async () => {
      write("probes.yml", "- {from: client, to: shop/db, port: 5432, expect: deny}\n");
      assert.equal((await simulate("-f", "shop", "--probes", "probes.yml")).code, 0);
      write("probes.yml", "- {from: client, to: shop/db, port: 5432, expect: allow}\n");
      const { code, stderr } = await simulate("-f", "shop", "--probes", "probes.yml");
      assert.equal(code, 1);
      assert.equal(
        stderr,
        "1 of 1 probes did not find what they expect:\n  default/client -> shop/db 5432/TCP: deny, expected allow\n",
      );
    });
  });

  describe("reads", () => {
    it("several files and folders after one -f", async () => {
      const { code, stdout } = await simulate("-f", "shop/pods.yml", "shop/policies");
      assert.equal(code, 0);
      assert.match(stdout, /^2 {2}shop\/db/m);
    });

    it("stdin, lists, JSON, v1 and v3 alike", async () => {
      const pod = (name: string, podIP: string) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, labels: { [name]: "" } },
        status: { podIP },
      });
      const policy = {
        apiVersion: "projectcalico.org/v3",
        kind: "GlobalNetworkPolicy",
        metadata: { name: "no-b" },
        spec: {
          selector: "has(b)",
          ingress: [{ action: "Deny", source: { selector: "has(a)" } }, { action: "Allow" }],
        },
      };
      const old = {
        apiVersion: "v1",
        kind: "policy",
        metadata: { name: "old" },
        spec: { selector: "has(a)", ingress: [{ action: "deny" }] },
      };
      const stdin = JSON.stringify([
        { apiVersion: "v1", kind: "List", items: [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")] },
        policy,
        old,
      ]);
      write(
        "probes.yml",
        "- {from: a, to: b, port: 1}\n- {from: b, to: a, port: 1}\n- {from: 9.9.9.9, to: b, port: 1}\n",
      );
      const { stdout } = await cluster.calctl(
        ["simulate", "-f", "-", "--probes", "probes.yml", "-o", "json"],
        {
          cwd: folder,
          stdin,
        },
      );
      assert.deepEqual(
        JSON.parse(stdout).map((answer: { verdict: string; ingress: object }) => answer.verdict),
        ["deny", "deny", "allow"],
      );
    });

    it("whole repositories: what has nothing to do with policy is passed over, and named", async () => {
      write(
        "shop/more.yml",
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: apps/v1\nkind: ReplicationSet\n",
      );
      const { code, stderr } = await simulate("-f", "shop");
      assert.equal(code, 0);
      assert.equal(stderr, "passed over, as policy does not depend on it: 1 ConfigMap, 1 ReplicationSet\n");
    });
  });

  describe("refuses", () => {
    const refused: [what: string, probes: string, complaint: RegExp][] = [
      [
        "names of nobody, and says whose they may be",
        "- {from: shop/wbe, to: shop/db, port: 1}",
        /^probes\.yml:1:4: from: "shop\/wbe" is no pod, workload or host that there is \(did you mean "shop\/web"/m,
      ],
      [
        "pods of another namespace",
        "- {from: default/db, to: client, port: 1}",
        /^probes\.yml:1:4: from: "default\/db" is no .*did you mean "shop\/db"\?/m,
      ],
      [
        "port names that the target does not have",
        "- {from: client, to: shop/web, port: htp}",
        /^probes\.yml:1:32: port: shop\/web has no port "htp" \(did you mean "http"\?\); it has of TCP http, https$/m,
      ],
      [
        "port names of another protocol",
        "- {from: client, to: shop/web, port: http, protocol: UDP}",
        /shop\/web has no port "http"; it has no named ports$/m,
      ],
      [
        "protocols that are none",
        "- {from: client, to: web, port: 1, protocol: tpc}",
        /^probes\.yml:1:36: protocol: "tpc" is no protocol \(did you mean "TCP"\?\); expected TCP, /m,
      ],
      [
        "ports that are none",
        "- {from: client, to: web, port: 70000}",
        /port: 70000 is no port; expected a number from 1 to 65535/,
      ],
      [
        "TCP without a port",
        "- {from: client, to: web}",
        /^probes\.yml:1:3: port: port is missing, which TCP needs/m,
      ],
      [
        "no ends",
        "- {port: 1}",
        /from: from is missing; expected a pod as namespace\/name, or an IP address\n.*to: to is missing/,
      ],
      [
        "ends of different versions",
        "- {from: 'fd00::1', to: shop/db, port: 1}",
        /to: shop\/db and fd00::1 have no address of the same IP version/,
      ],
      [
        "expectations that are none",
        "- {from: client, to: web, port: 1, expect: pass}",
        /expect: "pass" is no verdict; expected allow or deny/,
      ],
      ["what is no probe", "- 5", /probes\.yml:1:3: is no probe; expected a map/],
      ["no probes", "", /^No probes in probes\.yml/],
    ];
    for (const [what, probes, complaint] of refused)
      it(what, async () => {
        write("probes.yml", `${probes}\n`);
        const { code, stdout, stderr } = await simulate("-f", "shop", "--probes", "probes.yml");
        assert.match(stderr, complaint);
        assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      });

    it("wrong resources, with their places, all of them", async () => {
      write(
        "shop/bad.yml",
        POLICIES.replace("podSelector", "podSelektor").replace("port: 5432", "port: 543200"),
      );
      const { code, stderr } = await simulate("-f", "shop");
      assert.equal(code, 1);
      assert.match(stderr, /^shop\/bad\.yml:5:3: spec\.podSelektor: /m);
      assert.match(stderr, /^shop\/bad\.yml:17:\d+: spec\.ingress\[0\]\.ports\[0\]\.port: /m);
    });

    it("kinds that are nearly right", async () => {
      write("shop/bad.yml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\nmetadata: {name: x}\n");
      const { code, stderr } = await simulate("-f", "shop");
      assert.equal(code, 1);
      assert.match(stderr, /^shop\/bad\.yml:2:1: kind: .*\(did you mean "NetworkPolicy"\?\)/m);
    });

    it("files that are not there, and files without endpoints", async () => {
      assert.match((await simulate("-f", "nowhere.yml")).stderr, /^nowhere\.yml: no such file or folder/);
      assert.match((await simulate("-f", "shop/policies")).stderr, /there is no pod or workload endpoint/);
    });
  });

  describe("without probes", () => {
    it("draws who reaches whom", async () => {
      const { stdout } = await simulate("-f", "shop");
      assert.equal(
        stdout,
        `   FROM                 PORTS            TO  1 2 3
1  default/client       any                  - . a
2  shop/db              5432/TCP             O - O
3  shop/web             80/TCP, 443/TCP      O O -
4  outside other IPv4                        O . a
5  outside 10.0.0.0/8                        O . O
6  outside 10.1.0.0/16                       O . a

O  open   .  closed   -  not asked
a  80/TCP
`,
      );
    });

    it("says in words what is open where no ports are declared", async () => {
      write(
        "shop/deny.yml",
        `apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: client}
spec:
  selector: app == 'client'
  ingress:
  - {action: Deny, protocol: TCP, destination: {ports: [22]}}
  - {action: Allow}
`,
      );
      const { stdout } = await simulate("-f", "shop");
      assert.match(stdout, /^b {2}everything except TCP 22$/m);
    });

    it("asks about every pair and declared port, as JSON", async () => {
      const answers: { from: string; to: string; port?: number; verdict: string }[] = await json(
        "-f",
        "shop",
      );
      const text = answers.map(({ from, to, port, verdict }) => `${from} ${to} ${port}: ${verdict}`);
      assert.ok(text.includes("shop/web shop/db 5432: allow"));
      assert.ok(text.includes("default/client shop/web 443: deny"));
      assert.equal(answers.filter(({ to }) => to === "shop/web").length, 2 * 2);
      assert.equal(answers.filter(({ to }) => to === "shop/db").length, 2);
    });

    it("asks once about pods that no policy tells apart, and answers for each", async () => {
      const pods = Array.from(
        { length: 30 },
        (_, i) =>
          `apiVersion: v1\nkind: Pod\nmetadata: {name: p${i}, namespace: many}\nspec: {containers: [{ports: [{containerPort: 80}]}]}\n`,
      );
      write("shop/many.yml", pods.join("---\n"));
      const { stdout } = await simulate("-f", "shop");
      assert.match(stdout, /^\d {2}all 30 in many +80\/TCP/m);
      const answers: { from: string; to: string }[] = await json("-f", "shop");
      assert.equal(
        answers.filter(({ from, to }) => from.startsWith("many/") && to.startsWith("many/")).length,
        30 * 29,
      );
    });

    it("puts together, where there are many, what is told apart but comes to the same", async () => {
      // Each namespace is its own class: only its own pods come in, and all are of one pattern inside.
      const texts = Array.from({ length: 12 }, (_, n) =>
        ["a", "b", "c"]
          .map(
            name =>
              `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: ns${n}, labels: {name: ${name}}}\n---\n` +
              `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: ns${n}}\n` +
              `spec: {podSelector: {matchLabels: {name: ${name}}}, ingress: [{from: [{podSelector: {}}]}]}\n`,
          )
          .join("---\n"),
      );
      write("shop/many.yml", texts.join("---\n"));
      const { stdout } = await simulate("-f", "shop");
      assert.match(stdout, /^ \d {2}all 3 in ns0 +any/m);
      assert.doesNotMatch(stdout, /ns0\/a/);
    });

    it("asks about every port with --all-ports", async () => {
      const { stdout } = await simulate("-f", "shop", "--all-ports");
      assert.match(stdout, /^a {2}TCP 80$/m);
    });
  });

  it("agrees with upstream's suites on a sample of their states", async function () {
    if (!existsSync(caseFile)) {
      this.test!.title += ` (skipped: ${caseFile.pathname} is not there)`;
      this.skip();
    }
    const cases = readCases();
    for (let i = 0; i < cases.length; i += 40) {
      const one = cases[i]!;
      write("state.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: documentsOf(one) }));
      write("probes.json", JSON.stringify(one.probes));
      const { code, stdout, stderr } = await simulate(
        "-f",
        "state.json",
        "--probes",
        "probes.json",
        "-o",
        "json",
      );
      assert.equal(stderr, "", one.name);
      assert.equal(code, 0);
      assert.equal(JSON.parse(stdout).length, one.probes.length);
    }
  }).timeout(60_000);
});
