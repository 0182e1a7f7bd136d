/**
 * Kubernetes NetworkPolicy as upstream's suites understand it: conversion, resolution and evaluation together
 * must give every probe its expected verdict. Each case is a whole cluster state.
 *
 * NETPOL_CASE=text runs only the cases whose name contains the text.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { type Ip, ip } from "../../../net/ip.ts";
import {
  convertNamespace,
  convertNetworkPolicy,
  type KubernetesNetworkPolicy,
} from "../../../policy/convert/kubernetes.ts";
import { PolicyEvaluator } from "../../../policy/evaluate.ts";
import { resolvePolicy, resolveProfile } from "../../../policy/resolve.ts";

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
  }[];
  readonly objects: { kind: string }[];
  readonly probes: {
    from: string;
    to: string;
    port: number;
    protocol: Transport;
    expect: "allow" | "deny";
  }[];
}

const file = new URL("../../../../shared/conformance/netpol/cases.json", import.meta.url);

/** Endpoint labels, profiles and ports as Kubernetes mode makes them of a pod. */
function evaluatorOf(state: Case): { evaluator: PolicyEvaluator; addresses: Map<string, Ip> } {
  const addresses = new Map(state.pods.map(pod => [`${pod.ns}/${pod.name}`, ip(pod.ip)]));
  const evaluator = new PolicyEvaluator({
    policies: state.objects.map(object => {
      const { policy, problems } = convertNetworkPolicy(object as KubernetesNetworkPolicy);
      assert.deepEqual(problems, [], state.name);
      return resolvePolicy(policy);
    }),
    profiles: state.namespaces.map(namespace => resolveProfile(convertNamespace({ metadata: namespace }))),
    endpoints: state.pods.map(pod => ({
      id: `${pod.ns}/${pod.name}`,
      labels: {
        ...pod.labels,
        "projectcalico.org/namespace": pod.ns,
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "default",
      },
      profiles: [`kns.${pod.ns}`, `ksa.${pod.ns}.default`],
      addresses: [ip(pod.ip)],
      ports: pod.ports,
    })),
  });
  return { evaluator, addresses };
}

describe("policy: Kubernetes NetworkPolicy conformance", function () {
  this.timeout(60_000);
  let cases: Case[];

  before(function () {
    if (!existsSync(file)) {
      this.test!.title += ` (skipped: ${file.pathname} is not there)`;
      this.skip();
    }
    const only = process.env["NETPOL_CASE"] ?? "";
    cases = (JSON.parse(readFileSync(file, "utf8")) as Case[]).filter(
      one => one.objects.every(object => object.kind === "NetworkPolicy") && one.name.includes(only),
    );
  });

  it("gives every probe of every case its expected verdict", () => {
    const wrong: string[] = [];
    let probes = 0;
    for (const one of cases) {
      const { evaluator, addresses } = evaluatorOf(one);
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
