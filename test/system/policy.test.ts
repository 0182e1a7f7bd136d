/** What policies say, held against real packets between two hosts. */

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { probe } from "../../lab/probe.ts";
import { LAB_DATAPLANES } from "../../lab/state.ts";
import { TestLab } from "./test-lab.ts";

/** Kubernetes makes such a profile per namespace; endpoints without a network have it. */
const NAMESPACES = ["default", "prod"]
  .map(
    name => `
- apiVersion: projectcalico.org/v3
  kind: Profile
  metadata: { name: kns.${name} }
  spec:
    labelsToApply: { pcns.projectcalico.org/name: ${name}, pcns.kind: ${name === "prod" ? "production" : "other"} }
    ingress: [{ action: Allow }]
    egress: [{ action: Allow }]`,
  )
  .join("");

const globalPolicy = (name: string, spec: string) =>
  `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: ${name} }, spec: ${spec} }`;

for (const dataplane of LAB_DATAPLANES) {
  describe(`policy on real packets with ${dataplane}`, () => {
    /** What the calculation alone decides is tried on one of them: it would be the same on the other. */
    const onOne = (title: string, test: Mocha.AsyncFunc) =>
      void (dataplane === "iptables" && it(title, test));

    let lab: TestLab;
    const policies: [kind: string, name: string, ...more: string[]][] = [];

    /** Applies a policy that goes again at the end of the test. */
    const policy = async (name: string, spec: string) => {
      policies.push(["GlobalNetworkPolicy", name]);
      await lab.apply(globalPolicy(name, spec));
    };

    const labels = async (workload: string, change: (labels: Record<string, string>) => void) => {
      const client = await lab.client();
      const { resourceName, resourceNamespace } = lab.state.workload(workload);
      const endpoint = await client.get("WorkloadEndpoint", resourceName, resourceNamespace);
      const changed = { ...endpoint.metadata.labels };
      change(changed);
      await client.update({ ...endpoint, metadata: { ...endpoint.metadata, labels: changed } });
    };

    before(async () => {
      lab = await TestLab.up({ hosts: 2, dataplane });
      await lab.apply(NAMESPACES);
      await Promise.all([
        lab.run("web", {
          host: "host1",
          labels: { app: "web" },
          serve: [
            ...[80, 81, 8080, 8085].map(port => ({ protocol: "tcp" as const, port })),
            { protocol: "udp", port: 53 },
          ],
        }),
        lab.run("near", { host: "host1", labels: { role: "front" } }),
        lab.run("far", { host: "host2", labels: { role: "front" } }),
        lab.run("batch", { host: "host2", labels: { role: "batch" } }),
        lab.run("prod", { host: "host2", namespace: "prod", labels: { role: "front" } }),
        lab.run("prodweb", {
          host: "host1",
          namespace: "prod",
          labels: { app: "web" },
          serve: [{ protocol: "tcp", port: 80 }],
        }),
      ]);
    });

    afterEach(async () => {
      for (const [kind, name, ...more] of policies.splice(0)) await lab.delete(kind, name, ...more);
    });

    after(() => lab?.end());

    onOne("leaves endpoints that no policy selects to their profiles", () =>
      lab.expects({
        "near -> web tcp:80": "allow",
        "far -> web tcp:8080": "allow",
        "far -> web udp:53": "allow",
        "batch -> web icmp": "allow",
        "prod -> web tcp:80": "allow",
      }),
    );

    it("lets in what a rule allows, and nothing else", async () => {
      await policy(
        "front-to-web",
        `{ selector: app == 'web', types: [Ingress], ingress: [
        { action: Allow, protocol: TCP, source: { selector: role == 'front' }, destination: { ports: [80, "8080:8085"] } } ] }`,
      );
      await lab.expects({
        "near -> web tcp:80": "allow",
        "far -> web tcp:80": "allow",
        "prod -> web tcp:80": "allow",
        "far -> web tcp:8080": "allow",
        "far -> web tcp:8085": "allow",
        "near -> web tcp:81": "deny",
        "far -> web tcp:81": "deny",
        "far -> web udp:53": "deny",
        "far -> web icmp": "deny",
        "batch -> web tcp:80": "deny",
        "host2 -> web tcp:80": "deny",
      });
    });

    it("is foretold by calctl simulate --diff, explained by calctl why, and counted by the kernel", async () => {
      const spec = `{ selector: app == 'web', types: [Ingress], ingress: [
      { action: Deny, protocol: TCP, destination: { ports: [81] } },
      { action: Allow, protocol: TCP, source: { selector: role == 'front' }, destination: { ports: [80, 81] } } ] }`;
      const foretold = await lab.calctl(["simulate", "--diff", "--fail-on-close", "-f", "-", "-o", "json"], {
        stdin: globalPolicy("explained", spec),
      });
      assert.equal(foretold.code, 3, foretold.stderr);
      const { closes } = JSON.parse(foretold.stdout);
      const batch = closes.find(({ from }: { from: string[] }) => from.includes("default/batch"));
      assert.deepEqual([batch.to, batch.text], [["default/web"], "everything except TCP 81"]);

      await policy("explained", spec);
      await lab.expects({
        "far -> web tcp:80": "allow",
        "far -> web tcp:81": "deny",
        "batch -> web tcp:80": "deny",
      });
      const socket = lab.state.hostPath("host1", "run", "felix.sock");
      for (const [from, port, verdict, rule] of [
        ["far", 80, "allow", 1],
        ["far", 81, "deny", 0],
        ["batch", 80, "deny", undefined],
      ] as const) {
        const asked = await lab.calctl([
          "why",
          from,
          "web",
          "--port",
          `${port}`,
          "--socket",
          socket,
          "-o",
          "json",
        ]);
        assert.equal(asked.code, 0, asked.stderr);
        const why = JSON.parse(asked.stdout);
        const ingress = why.path.at(-1);
        assert.deepEqual([why.verdict, ingress.verdict], [verdict, verdict]);
        assert.deepEqual([why.kernel.node, why.kernel.agrees, why.kernel.differences], ["host1", true, []]);
        const [matched] = ingress.tiers.at(-1).policies[0].matched;
        assert.equal(matched?.rule, rule);
        if (rule !== undefined) assert.ok(matched.counter.packets > 0, JSON.stringify(matched));
        else assert.equal(ingress.tiers.at(-1).defaulted, "deny");
      }
    });

    onOne("gives back to the profiles what a deleted policy had taken", async () => {
      await policy("nothing", "{ selector: app == 'web', types: [Ingress] }");
      await lab.expects({ "far -> web tcp:80": "deny", "near -> web udp:53": "deny" });
      await lab.delete(...policies.pop()!);
      await lab.expects({ "far -> web tcp:80": "allow", "near -> web udp:53": "allow" });
    });

    onOne("asks policies by their order, and rules within them from the top", async () => {
      const deny = (order: number) =>
        policy(
          "not-far",
          `{ order: ${order}, selector: app == 'web', ingress: [
          { action: Deny, protocol: TCP, source: { nets: [${lab.addressOf("far")}/32] } } ] }`,
        );
      await policy(
        "front",
        `{ order: 100, selector: app == 'web', ingress: [
        { action: Deny, protocol: TCP, destination: { ports: [81] } },
        { action: Allow, protocol: TCP, source: { selector: role == 'front' } } ] }`,
      );
      await deny(10);
      await lab.expects({
        "near -> web tcp:80": "allow",
        "near -> web tcp:81": "deny",
        "far -> web tcp:80": "deny",
      });
      await deny(1000);
      policies.pop();
      await lab.expects({ "far -> web tcp:80": "allow", "far -> web tcp:81": "deny" });
    });

    it("tells ICMP by type, and UDP from TCP", async () => {
      await policy(
        "echo-and-dns",
        `{ selector: app == 'web', ingress: [
        { action: Allow, protocol: ICMP, icmp: { type: 8 } }, { action: Allow, protocol: UDP, destination: { ports: [53] } } ] }`,
      );
      await lab.expects({
        "far -> web icmp": "allow",
        "far -> web udp:53": "allow",
        "far -> web tcp:80": "deny",
      });
    });

    it("knows ports by the names that endpoints give them", async () => {
      const client = await lab.client();
      const { resourceName, resourceNamespace } = lab.state.workload("web");
      const endpoint = await client.get("WorkloadEndpoint", resourceName, resourceNamespace);
      await client.update({
        ...endpoint,
        spec: { ...endpoint.spec, ports: [{ name: "admin", protocol: "TCP", port: 8085 }] },
      });
      await policy(
        "admin",
        "{ selector: app == 'web', ingress: [{ action: Allow, protocol: TCP, destination: { ports: [admin] } }] }",
      );
      await lab.expects({ "far -> web tcp:8085": "allow", "far -> web tcp:80": "deny" });
    });

    it("excludes with notNets and notPorts", async () => {
      await policy(
        "but-not",
        `{ selector: app == 'web', ingress: [
        { action: Allow, protocol: TCP, source: { notNets: [${lab.addressOf("far")}/32] }, destination: { notPorts: [81] } } ] }`,
      );
      await lab.expects({
        "near -> web tcp:80": "allow",
        "batch -> web tcp:80": "allow",
        "near -> web tcp:81": "deny",
        "far -> web tcp:80": "deny",
      });
    });

    it("follows network sets", async () => {
      const set = (workload: string) =>
        lab.apply(
          `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: { name: partners, labels: { partner: "yes" } },
           spec: { nets: [${lab.addressOf(workload)}/32, 203.0.113.0/24] } }`,
        );
      policies.push(["GlobalNetworkSet", "partners"]);
      await set("far");
      await policy(
        "partners",
        "{ selector: app == 'web', ingress: [{ action: Allow, source: { selector: partner == 'yes' } }] }",
      );
      await lab.expects({ "far -> web tcp:80": "allow", "batch -> web tcp:80": "deny" });
      await set("batch");
      await lab.expects({ "far -> web tcp:80": "deny", "batch -> web tcp:80": "allow" });
    });

    onOne("follows labels of endpoints, on both sides of a rule", async () => {
      await policy(
        "front-to-web",
        "{ selector: app == 'web', ingress: [{ action: Allow, source: { selector: role == 'front' } }] }",
      );
      await lab.expects({ "batch -> web tcp:80": "deny", "far -> web tcp:80": "allow" });
      await labels("batch", all => {
        all["role"] = "front";
      });
      await lab.expects({ "batch -> web tcp:80": "allow" });
      await labels("batch", all => {
        all["role"] = "batch";
      });
      await lab.expects({ "batch -> web tcp:80": "deny" });
      await labels("web", all => {
        all["app"] = "other";
      });
      await lab.expects({ "batch -> web tcp:80": "allow" });
      await labels("web", all => {
        all["app"] = "web";
      });
      await lab.expects({ "batch -> web tcp:80": "deny" });
    });

    it("holds egress against where packets go", async () => {
      await policy(
        "only-dns",
        `{ selector: role == 'front', types: [Egress], egress: [
        { action: Allow, protocol: UDP, destination: { ports: [53], selector: app == 'web' } },
        { action: Deny, protocol: TCP, destination: { notNets: [${lab.addressOf("prodweb")}/32] } }, { action: Pass } ] }`,
      );
      await lab.expects({
        "near -> web udp:53": "allow",
        "far -> web udp:53": "allow",
        "near -> web tcp:80": "deny",
        "far -> web tcp:80": "deny",
        "far -> prodweb tcp:80": "allow",
        "far -> batch icmp": "allow",
        "batch -> web tcp:80": "allow",
      });
    });

    onOne("keeps a namespace's policy, and its selectors, inside the namespace", async () => {
      const spec = (source: string) => `
      apiVersion: projectcalico.org/v3
      kind: NetworkPolicy
      metadata: { name: web, namespace: prod }
      spec: { selector: app == 'web', ingress: [{ action: Allow, source: ${source} }] }`;
      policies.push(["NetworkPolicy", "web", "--namespace", "prod"]);
      await lab.apply(spec("{ selector: role == 'front' }"));
      await lab.expects({
        "prod -> prodweb tcp:80": "allow",
        "far -> prodweb tcp:80": "deny",
        "far -> web tcp:80": "allow",
        "batch -> web tcp:80": "allow",
      });
      await lab.apply(spec("{ selector: role == 'front', namespaceSelector: kind == 'other' }"));
      await lab.expects({
        "prod -> prodweb tcp:80": "deny",
        "far -> prodweb tcp:80": "allow",
        "batch -> prodweb tcp:80": "deny",
      });
    });

    onOne("takes effect soon after calctl has said so", async function () {
      const target = { namespace: lab.namespaceOf("far"), address: lab.addressOf("web") };
      const allowed = async () =>
        (await probe({ ...target, protocol: "UDP", port: 53, timeoutMs: 15 })) === "allow";
      const until = async (wanted: boolean) => {
        while ((await allowed()) !== wanted) await sleep(1);
      };
      const took: number[] = [];
      for (let i = 0; i < 5; i++) {
        for (const action of ["Deny", "Allow"]) {
          await policy("switch", `{ selector: app == 'web', ingress: [{ action: ${action} }] }`);
          const begun = performance.now();
          await until(action === "Allow");
          took.push(performance.now() - begun);
        }
      }
      policies.splice(1);
      took.sort((a, b) => a - b);
      this.test!.title +=
        ` (median ${took[5]!.toFixed(0)} ms, at most ${took[9]!.toFixed(0)} ms after its exit)`;
    });
  });
}
