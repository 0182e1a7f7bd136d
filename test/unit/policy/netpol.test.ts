/**
 * Upstream's expectations of network policies: Kubernetes' own e2e suite, cyclonus, and the conformance suites of the
 * cluster's policies, as whole states with the verdict on every probe. Run one with NETPOL_CASE=<part of its name>.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { type Ip, ip } from "../../../net/ip.ts";
import { PolicyEvaluator } from "../../../policy/evaluate.ts";
import { policyState } from "../../../policy/state.ts";

type Transport = "TCP" | "UDP" | "SCTP";

interface Case {
  readonly name: string;
  readonly namespaces: { name: string; labels: Record<string, string> }[];
  readonly pods: {
    ns: string;
    name: string;
    labels: Record<string, string>;
    ip: string;
    ports: { name: string; port: number; protocol: Transport }[];
    hostNetwork?: boolean;
    nodeLabels?: Record<string, string>;
  }[];
  readonly objects: object[];
  readonly probes: {
    from: string;
    to: string;
    port: number;
    protocol: Transport;
    expect: "allow" | "deny";
  }[];
}

const file = new URL("../../../../shared/conformance/netpol/cases.json", import.meta.url);

/** What a cluster in that state would hold. A pod on the host's network is alone on a node of its own name. */
function documentsOf({ namespaces, pods, objects }: Case): object[] {
  return [
    ...namespaces.map(metadata => ({ apiVersion: "v1", kind: "Namespace", metadata })),
    ...pods
      .filter(pod => pod.hostNetwork)
      .map(({ name, nodeLabels, ip: address }) => ({
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: `node-of-${name}`, labels: nodeLabels },
        status: { addresses: [{ type: "InternalIP", address }] },
      })),
    ...pods.map(({ ns, name, labels, ip: podIP, ports, hostNetwork }) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: ns, name, labels },
      spec: {
        ...(hostNetwork && { hostNetwork, nodeName: `node-of-${name}` }),
        containers: [
          { ports: ports.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol })) },
        ],
      },
      status: { podIP },
    })),
    ...objects,
  ];
}

describe("policy: network policy conformance", function () {
  this.timeout(60_000);
  let cases: Case[];

  before(function () {
    if (!existsSync(file)) {
      this.test!.title += ` (skipped: ${file.pathname} is not there)`;
      this.skip();
    }
    const only = process.env["NETPOL_CASE"] ?? "";
    cases = (JSON.parse(readFileSync(file, "utf8")) as Case[]).filter(one => one.name.includes(only));
  });

  it("gives every probe of every case its expected verdict", () => {
    const wrong: string[] = [];
    let probes = 0;
    for (const one of cases) {
      const { state, problems } = policyState(documentsOf(one));
      assert.deepEqual(problems, [], one.name);
      const evaluator = new PolicyEvaluator(state);
      const addresses = new Map<string, Ip>(one.pods.map(pod => [`${pod.ns}/${pod.name}`, ip(pod.ip)]));
      for (const { from, to, port, protocol, expect } of one.probes) {
        const packet = {
          source: addresses.get(from)!,
          destination: addresses.get(to)!,
          protocol,
          destinationPort: port,
        };
        const { verdict, directions } = evaluator.verdict(packet);
        probes++;
        if (verdict !== expect)
          wrong.push(
            `${one.name}: ${from} -> ${to} ${protocol}/${port}: ${verdict}, ${JSON.stringify(directions)}`,
          );
      }
    }
    assert(probes > 0, "no case matches NETPOL_CASE");
    assert.equal(wrong.length, 0, `${wrong.length} of ${probes} wrong:\n${wrong.slice(0, 5).join("\n")}`);
  });
});
