/** The flow log: real packets through real rules, on both dataplanes, and what `calctl flows` says of them. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Flow, reasonText, type StagedVerdict } from "../../felix/flows/flow.ts";
import { LAB_DATAPLANES } from "../../lab/state.ts";
import { ipVersion } from "../../net/ip.ts";
import { eventually, ROOT, TestLab } from "./test-lab.ts";

const LOGGING = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: { name: default }
spec: { flowLogsLocalReporter: Enabled }`;

/** Kubernetes makes such a profile per namespace; endpoints without a network have it. */
const PROFILE = `
apiVersion: projectcalico.org/v3
kind: Profile
metadata: { name: kns.default }
spec:
  ingress: [{ action: Allow }]
  egress: [{ action: Allow }]`;

const POLICY = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == 'web'
  types: [Ingress]
  ingress:
  - { action: Allow, protocol: ICMP }
  - { action: Allow, protocol: TCP, source: { selector: role == 'front' }, destination: { ports: [80] } }`;

/** Proposed in the place of the one above. */
const STAGED_POLICY = `
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == 'web'
  types: [Ingress]
  ingress: [{ action: Allow, protocol: ICMP }]`;

const HOST_ENDPOINT = `
- apiVersion: projectcalico.org/v3
  kind: HostEndpoint
  metadata: { name: uplink, labels: { role: uplink } }
  spec: { node: host1, interfaceName: eth0, profiles: [kns.default] }
- apiVersion: projectcalico.org/v3
  kind: StagedGlobalNetworkPolicy
  metadata: { name: no-way-out }
  spec: { selector: role == 'uplink', types: [Egress], egress: [{ action: Deny }] }`;

for (const dataplane of LAB_DATAPLANES) {
  describe(`flow log with ${dataplane}`, () => {
    let lab: TestLab;
    before(async () => {
      lab = await TestLab.up({ hosts: 1, dataplane, ipv6: true });
      for (const yaml of [LOGGING, PROFILE, POLICY]) await lab.apply(yaml);
      await lab.run("web", {
        host: "host1",
        labels: { app: "web" },
        serve: [80, 81].map(port => ({ protocol: "tcp" as const, port })),
      });
      await lab.run("front", { host: "host1", labels: { role: "front" } });
      await lab.run("batch", { host: "host1", labels: { role: "batch" } });
    });
    after(() => lab.end());

    const socket = () => lab.state.hostPath("host1", "run", "felix.sock");

    async function flows(...args: string[]): Promise<Flow[]> {
      const { code, stdout, stderr } = await lab.calctl([
        "flows",
        "-o",
        "json",
        "--socket",
        socket(),
        ...args,
      ]);
      assert.equal(code, 0, stderr);
      return stdout
        .split("\n")
        .filter(line => line !== "")
        .map(line => JSON.parse(line));
    }

    const decision = ({ verdict, decidedBy }: Pick<Flow, "verdict" | "decidedBy"> | StagedVerdict): string =>
      `${verdict} by ${reasonText(decidedBy)}${"rule" in decidedBy ? ` rule ${decidedBy.rule}` : ""}`;

    /** Who, to whom, where to, how it was decided and by what; without what differs from run to run. */
    const summary = (flow: Flow): string => {
      const port = flow.icmp ? `${flow.icmp.type}/${flow.icmp.code}` : flow.port;
      return `${flow.source.name} -> ${flow.destination.name} ${flow.protocol} ${port}: ${flow.direction} ${decision(flow)}`;
    };

    it("tells allowed and denied flows, and which rule decided them", async () => {
      await lab.expects({
        "front -> web tcp:80": "allow",
        "front -> web tcp:81": "deny",
        "batch -> web tcp:80": "deny",
        "batch -> web icmp": "allow",
      });
      const wanted = [
        "front -> web TCP 80: ingress allow by gnp/web rule 1",
        "front -> web TCP 81: ingress deny by tier default",
        "batch -> web TCP 80: ingress deny by tier default",
        "batch -> web ICMP 8/0: ingress allow by gnp/web rule 0",
      ];
      await eventually(async () => {
        const seen = new Set((await flows()).map(summary));
        return wanted.filter(line => !seen.has(line));
      }, []);
      const denied = await flows("--verdict", "deny");
      assert.ok(denied.length > 0 && denied.every(({ verdict }) => verdict === "deny"));
      const byPolicy = await flows("--policy", "web");
      assert.deepEqual(new Set(byPolicy.map(summary)), new Set([wanted[0], wanted[3]]));
      // On its way out it was decided too: by the profile of its network.
      const out = (await flows()).filter(flow => flow.direction === "egress" && flow.source.name === "front");
      assert.ok(out.length > 0 && out.every(({ decidedBy }) => decidedBy.kind === "profile"));
    });

    it("tells those of IPv6", async () => {
      const web = lab.state.workload("web").addresses.find(address => ipVersion(address) === 6);
      await lab.expects({ [`front -> ${web} tcp:80`]: "allow", [`batch -> ${web} icmp`]: "deny" });
      const wanted = [
        "front -> web TCP 80: ingress allow by gnp/web rule 1",
        "batch -> web ICMPv6 128/0: ingress deny by tier default",
      ];
      await eventually(async () => {
        const all = await flows();
        const seen = all.filter(({ destination }) => destination.address === web).map(summary);
        return wanted.filter(line => !seen.includes(line));
      }, []);
    });

    if (dataplane === "iptables")
      it("tells what staged policies would decide, of workloads and of host endpoints", async () => {
        for (const yaml of [STAGED_POLICY, HOST_ENDPOINT]) await lab.apply(yaml);
        const wanted = [
          "front -> web TCP 80: ingress allow by gnp/web rule 1; deny by tier default",
          "batch -> web ICMP 8/0: ingress allow by gnp/web rule 0; allow by sgnp/web rule 0",
          "host1 -> undefined TCP 9: egress allow by profile kns.default rule 0; deny by sgnp/no-way-out rule 0",
        ];
        const told = (flow: Flow) => `${summary(flow)}; ${flow.staged && decision(flow.staged)}`;
        await eventually(async () => {
          await lab.expects({
            "front -> web tcp:80": "allow",
            "batch -> web icmp": "allow",
            // It gets there, and nobody listens.
            "host1 -> 192.168.56.1 tcp:9": "deny",
          });
          const seen = (await flows()).map(told);
          return wanted.filter(line => !seen.includes(line));
        }, []);
        const sent = (await flows()).filter(
          ({ direction, source }) => direction === "egress" && source.namespace,
        );
        assert.ok(sent.length > 0 && sent.every(({ staged }) => !staged), "no staged policy is about it");
        const byPolicy = (await flows("--policy", "sgnp/no-way-out")).filter(({ port }) => port === 9);
        assert.deepEqual(byPolicy.map(told), [wanted[2]]);
        const { stdout } = await lab.calctl(["flows", "-o", "wide", "--socket", socket()]);
        assert.match(stdout, / allow +deny +default\/front +default\/web +TCP +80 .* tier default /);
        assert.match(stdout, / allow +default\/batch +default\/web +ICMP +8\/0 .* sgnp\/web rule 0 /);
        await lab.delete("StagedGlobalNetworkPolicy", "web");
        await lab.delete("StagedGlobalNetworkPolicy", "no-way-out");
        await lab.delete("HostEndpoint", "uplink");
      });

    it("is followed as it happens", async () => {
      const child = spawn(
        join(ROOT, "bin", "calctl"),
        ["flows", "--follow", "-o", "json", "--verdict", "deny", "--socket", socket()],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      try {
        const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
        for (;;) {
          await lab.expects({ "batch -> web tcp:80": "deny" });
          const { value } = await lines.next();
          if (
            summary(JSON.parse(value ?? assert.fail("it ended"))) ===
            "batch -> web TCP 80: ingress deny by tier default"
          )
            break;
        }
      } finally {
        child.kill();
      }
    });

    it("goes on when the configuration changes and felix starts anew", async () => {
      await lab.apply(LOGGING.replace("Enabled", "Enabled, flowLogsFlushInterval: 60s"));
      // The new agent has seen nothing yet.
      // Between the two nobody answers.
      await eventually(async () => (await flows("--verdict", "deny").catch(() => undefined))?.length, 0);
      await lab.expects({
        "batch -> web tcp:80": "deny",
        "front -> web tcp:80": "allow",
        "batch -> web icmp": "allow",
      });
      await eventually(async () => (await flows("--policy", "gnp/web")).length, 2);
      const troubles = lab.log("host1", "felix").filter(({ msg }) => msg.includes("log flows"));
      assert.deepEqual(troubles, []);
    });

    it("counts by policy", async () => {
      const { stdout } = await lab.calctl(["flows", "--socket", socket()]);
      assert.match(stdout, /allow +\S+front +\S+web +TCP +80 +ingress +gnp\/web rule 1/);
      const { fetchStatus } = await import("../../daemon/status-server.ts");
      const metrics = (await fetchStatus(socket(), "/metrics"))?.body ?? "";
      assert.match(
        metrics,
        /calyx_felix_policy_packets_total\{policy="gnp\/web",direction="ingress",verdict="allow"\} [1-9]/,
      );
      const counters = JSON.parse((await fetchStatus(socket(), "/felix/counters"))?.body ?? "[]");
      const icmp = counters.find(
        (each: { name: string; rule: number }) => each.name === "gnp/web" && each.rule === 0,
      );
      assert.equal(icmp?.direction, "ingress");
      assert.ok(icmp.packets > 0);
    });
  });
}
