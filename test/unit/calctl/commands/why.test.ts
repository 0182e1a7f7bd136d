import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveStatus } from "../../../../daemon/status-server.ts";
import { ensureInitialized } from "../../../../datastore/init.ts";
import type { RuleCounter } from "../../../../felix/dataplane/packet-filter.ts";
import { Cluster } from "../harness.ts";

function endpoint(name: string, node: string, address: string): string {
  return `apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: ${node}-lab-${name}-eth0, namespace: default, labels: {name: ${name}}}
spec:
  orchestrator: lab
  node: ${node}
  workload: ${name}
  endpoint: eth0
  ipNetworks: [${address}/32]
  interfaceName: cali${name}
  profiles: [net1]
  ports: [{name: pg, protocol: TCP, port: 5432}]
---
`;
}

const LIVE = `${endpoint("web1", "host1", "10.65.0.1")}${endpoint("db1", "host2", "10.65.1.1")}apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: net1}
spec: {ingress: [{action: Allow}], egress: [{action: Log}, {action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 100, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: quarantine}
spec:
  tier: security
  order: 1
  selector: all()
  ingress:
  - {action: Deny, source: {selector: has(quarantine)}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: default}
spec:
  order: 10
  selector: name == 'db1'
  ingress:
  - action: Deny
    protocol: UDP
  - action: Allow
    protocol: TCP
    source:
      selector: name == 'web1'
    destination:
      ports: [5432]
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: host1}
spec: {bgp: {ipv4Address: 192.168.0.1/24}}
`;

const COUNTERS: RuleCounter[] = [
  { kind: "policy", name: "gnp/quarantine", direction: "ingress", rule: 0, packets: 0, bytes: 0 },
  { kind: "policy", name: "np/default/db", direction: "ingress", rule: 0, packets: 7, bytes: 700 },
  { kind: "policy", name: "np/default/db", direction: "ingress", rule: 1, packets: 42, bytes: 2520 },
];

describe("calctl why", () => {
  let cluster: Cluster;
  let folder: string;
  beforeEach(async () => {
    cluster = new Cluster();
    folder = mkdtempSync(join(tmpdir(), "why-"));
    await ensureInitialized(cluster.datastore);
    writeFileSync(join(folder, "live.yml"), LIVE);
    assert.equal((await cluster.calctl(["apply", "-f", "live.yml"], { cwd: folder })).stderr, "");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const why = async (...argv: string[]) => {
    const { code, stdout, stderr } = await cluster.calctl(["why", ...argv, "--socket", "felix.sock"], {
      cwd: folder,
    });
    assert.equal(stderr, "");
    assert.equal(code, 0);
    return stdout;
  };

  /** felix of `node`, as far as it is asked. */
  const withFelix = async <T>(
    node: string,
    counters: readonly RuleCounter[],
    work: () => Promise<T>,
  ): Promise<T> => {
    const felix = await serveStatus(
      {
        liveness: () => undefined,
        readiness: () => undefined,
        status: () => ({ node, packetFilter: "nftables" }),
        serve: (request, response) => {
          if (request.url !== "/felix/counters") return false;
          response.writeHead(200).end(JSON.stringify(counters));
          return true;
        },
      },
      { path: join(folder, "felix.sock") },
    );
    return work().finally(() => felix.close());
  };

  it("shows the path through tiers, policies and profiles, with the lines of the rules that matched", async () => {
    const text = await withFelix("host2", COUNTERS, () => why("web1", "db1", "--port", "5432"));
    assert.equal(
      text.replace(/^( +)\d+( \|)/gm, "$1N$2"),
      `default/web1 (10.65.0.1 on host1) -> default/db1 (10.65.1.1 on host2), 5432/TCP: allow

egress of default/web1: allow
  no policy applies, so profiles decide
  Profile net1: rule 0 matches: log
    N |   - action: Log
  Profile net1: rule 1 matches: allow
    N |   - action: Allow

ingress of default/db1: allow
  tier security
    GlobalNetworkPolicy quarantine, order 1: its rule does not match
    no rule decides, so the tier's default does: pass
  tier default
    NetworkPolicy default/db, order 10: rule 1 matches: allow (in the kernel: 42 packets, 2520 bytes)
      N |   - action: Allow
      N |     destination:
      N |       ports:
      N |       - 5432
      N |     protocol: TCP
      N |     source:
      N |       selector: name == 'web1'

kernel of host2 (nftables): agrees, it has these rules
`,
    );
  });

  it("numbers the lines as get -o yaml has them", async () => {
    const text = await why("web1", "db1", "--port", "5432");
    const [, number] = /(\d+) \| +selector: name == 'web1'/.exec(text)!;
    const { stdout } = await cluster.calctl(["get", "networkpolicy", "db", "-o", "yaml"]);
    assert.match(stdout.split("\n")[Number(number) - 1]!, /selector: name == 'web1'/);
  });

  it("says what decides where no rule does", async () => {
    const text = await why("8.8.8.8", "db1", "--port", "22");
    assert.match(text, /^8\.8\.8\.8 -> default\/db1 .*, 22\/TCP: deny$/m);
    assert.match(
      text,
      /NetworkPolicy default\/db, order 10: none of its 2 rules matches\n {4}no rule decides, so the tier's default does: deny/,
    );
  });

  it("asks at both ends even where the first denies", async () => {
    await cluster.calctl(["patch", "profile", "net1", "-p", '{"spec":{"egress":[]}}']);
    const text = await why("web1", "db1", "--protocol", "UDP", "--port", "53");
    assert.match(
      text,
      /^egress of .*: deny\n {2}no policy applies, so profiles decide\n {2}Profile net1: has no rules in this direction\n {2}no profile allows it: deny$/m,
    );
    assert.match(text, /^ingress of .*: deny$/m);
  });

  describe("says of the kernel", () => {
    const last = (text: string): string => text.trimEnd().split("\n").at(-1)!;
    it("that nobody answers for it", async () =>
      assert.equal(
        last(await why("web1", "db1", "--port", "pg")),
        `kernel: not asked: no felix answers at ${join(folder, "felix.sock")}; --socket names another one`,
      ));
    it("that it is another host's", async () =>
      assert.equal(
        last(await withFelix("host3", [], () => why("web1", "db1", "--port", "pg"))),
        "kernel of host3 (nftables): none of this is decided there; ask on host1 or host2",
      ));
    it("that it lacks a policy", async () =>
      assert.equal(
        last(await withFelix("host2", COUNTERS.slice(0, 1), () => why("web1", "db1", "--port", "pg"))),
        "kernel of host2 (nftables) does not agree: the kernel does not have policy np/default/db",
      ));
    it("that it lacks a rule, or has one too many", async () => {
      const counters = [COUNTERS[0]!, COUNTERS[1]!, { ...COUNTERS[1]!, rule: 2 }];
      assert.equal(
        last(await withFelix("host2", counters, () => why("web1", "db1", "--port", "pg"))),
        "kernel of host2 (nftables) does not agree: the kernel does not have rule 1 of policy np/default/db; " +
          "the kernel has a rule 2 of policy np/default/db, which is not in the datastore",
      );
    });
  });

  it("gives an overview of all packets without a port", async () => {
    assert.equal(
      await why("web1", "db1"),
      `default/web1 -> default/db1
  deny   everything except TCP 5432; UDP
    ingress by tier default: no rule matches
  allow  TCP 5432
    egress by Profile net1 egress[1]
    ingress by NetworkPolicy default/db ingress[1]
  deny   UDP
    ingress by NetworkPolicy default/db ingress[0]

For the path of one packet and the lines of its rules add --port or --protocol.
`,
    );
  });

  it("tells programs the same", async () => {
    const found = await withFelix("host2", COUNTERS, async () =>
      JSON.parse(await why("web1", "db1", "--port", "5432", "-o", "json")),
    );
    assert.equal(found.verdict, "allow");
    assert.deepEqual(found.from, {
      name: "default/web1",
      address: "10.65.0.1",
      node: "host1",
    });
    const { rule, action, counter } = found.path[1].tiers[1].policies[0].matched[0];
    assert.deepEqual(
      { rule, action, counter },
      { rule: 1, action: "allow", counter: { packets: 42, bytes: 2520 } },
    );
    assert.deepEqual(found.kernel, {
      node: "host2",
      packetFilter: "nftables",
      agrees: true,
      differences: [],
    });
    const overview = JSON.parse(await why("web1", "db1", "-o", "json"));
    assert.deepEqual(
      overview.decisions.map(({ verdict }: { verdict: string }) => verdict),
      ["deny", "allow", "deny"],
    );
  });

  it("knows hosts and their endpoints", async () => {
    writeFileSync(
      join(folder, "hep.yml"),
      `apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: host1-eth0, labels: {host: ''}}
spec: {node: host1, interfaceName: eth0, expectedIPs: [192.168.0.1]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: raw}
spec:
  selector: has(host)
  doNotTrack: true
  applyOnForward: true
  ingress: [{action: Allow, protocol: UDP, destination: {ports: [9]}}]
`,
    );
    await cluster.calctl(["apply", "-f", "hep.yml"], { cwd: folder });
    const allowed = await why("8.8.8.8", "host1", "--protocol", "UDP", "--port", "9");
    assert.match(allowed, /^8\.8\.8\.8 -> host1 \(192\.168\.0\.1\), 9\/UDP: allow$/m);
    assert.match(
      allowed,
      /^ingress of host endpoint host1-eth0: allow\n {2}tier default, untracked\n {4}GlobalNetworkPolicy raw: rule 0 matches: allow$/m,
    );
    const denied = await why("8.8.8.8", "host1", "--port", "80");
    assert.match(denied, /tier default, untracked\n {4}GlobalNetworkPolicy raw: its rule does not match\n/);
    assert.match(
      await why("8.8.8.8", "host1-eth0", "--port", "22"),
      /a failsafe port, which no policy can close: allow/,
    );
  });

  it("says so where nobody is asked", async () =>
    assert.match(await why("8.8.8.8", "9.9.9.9", "--port", "1"), /: allow\n\nNobody is asked/));

  describe("refuses", () => {
    for (const [argv, complaint] of [
      [["wbe1", "db1"], '"wbe1" is no pod, workload or host that there is'],
      [["web1", "db1", "--port", "x"], 'has no port "x"; it has of TCP pg'],
      [["web1", "db1", "--port", "70000"], '--port: "70000" is no port'],
      [["web1", "db1", "--protocol", "tpc"], '--protocol: "tpc" is no protocol'],
      [["web1", "db1", "--protocol", "TCP"], "TCP needs a --port"],
      [["web1", "db1", "--protocol", "ICMP", "--port", "1"], "ICMP has no ports"],
      [["web1", "fd00::1", "--port", "1"], "have no address of the same IP version"],
    ] as const)
      it(argv.join(" "), async () => {
        const { code, stdout, stderr } = await cluster.calctl(["why", ...argv]);
        assert.deepEqual([code, stdout], [1, ""]);
        assert.ok(stderr.includes(complaint), stderr);
      });
  });
});
