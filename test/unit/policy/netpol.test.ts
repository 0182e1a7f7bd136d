/**
 * Upstream's expectations of network policies: Kubernetes' own e2e suite, cyclonus, and the conformance suites of the
 * cluster's policies, as whole states with the verdict on every probe. Run one with NETPOL_CASE=<part of its name>.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type Ip, ip } from "../../../net/ip.ts";
import { PolicyEvaluator } from "../../../policy/evaluate.ts";
import { policyState } from "../../../policy/state.ts";
import { type Case, caseFile, documentsOf, readCases } from "./netpol-cases.ts";

describe("policy: network policy conformance", function () {
  this.timeout(60_000);
  let cases: Case[];

  before(function () {
    if (!existsSync(caseFile)) {
      this.test!.title += ` (skipped: ${caseFile.pathname} is not there)`;
      this.skip();
    }
    const only = process.env["NETPOL_CASE"] ?? "";
    cases = readCases().filter(one => one.name.includes(only));
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
