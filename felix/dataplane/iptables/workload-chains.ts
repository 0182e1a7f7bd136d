/**
 * The chains of one workload interface: `cali-tw-…` judges what goes to the workload, `cali-fw-…` what comes from it.
 *
 * Order in a chain (calico.md 3.3): established connections; invalid packets; the tiers, each ending in its default
 * action; the profiles; drop. A policy or profile chain that allows sets the accept mark and returns.
 */

import { type Rule, rule } from "iptables-ts";
import { type IpVersion, ipVersion } from "../../../net/ip.ts";
import type { LocalEndpoint } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { MarkBits } from "./marks.ts";
import { type Direction, policyChain, profileChain, workloadChain } from "./names.ts";
import { denyRule } from "./policy-chains.ts";

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

export function workloadChains(
  endpoint: LocalEndpoint,
  config: FelixConfig,
  marks: MarkBits,
  version: IpVersion,
): ReadonlyMap<string, readonly Rule[]> {
  const name = endpoint.interfaceName;
  if (!endpoint.addresses.some(address => ipVersion(address) === version)) {
    // Nothing of this version is rightly its own or for it. Besides, policies that only such endpoints have are then
    // referred to by no chain, hence not programmed: half the work where everything has one address.
    const nothing = [denyRule(rule().comment(`No IPv${version} address`), config)];
    return new Map(DIRECTIONS.map(direction => [workloadChain(direction, name), nothing]));
  }
  return new Map(
    DIRECTIONS.map(direction => [
      workloadChain(direction, name),
      directionRules(endpoint, direction, config, marks),
    ]),
  );
}

function directionRules(
  endpoint: LocalEndpoint,
  direction: Direction,
  config: FelixConfig,
  marks: MarkBits,
): Rule[] {
  if (!endpoint.enabled) return [denyRule(rule().comment("Endpoint admin disabled"), config)];

  const rules: Rule[] = [rule().conntrackState("RELATED", "ESTABLISHED").accept()];
  if (!config.disableConntrackInvalidCheck) rules.push(denyRule(rule().conntrackState("INVALID"), config));
  rules.push(rule().clearMark(marks.accept + marks.pass));
  if (direction === "egress") {
    // A workload that speaks our tunnels' protocols could inject packets into other hosts' networks.
    if (!config.allowVXLANPacketsFromWorkloads) {
      const vxlan = rule().comment("Drop VXLAN encapped packets originating in workloads").protocol("udp");
      rules.push(denyRule(vxlan.destinationPorts([4789]), config));
    }
    if (!config.allowIPIPPacketsFromWorkloads) {
      const ipip = rule().comment("Drop IPinIP encapped packets originating in workloads").protocol(4);
      rules.push(denyRule(ipip, config));
    }
  }

  for (const tier of endpoint.tiers) {
    const policies = direction === "ingress" ? tier.ingress : tier.egress;
    if (policies.length === 0) continue;
    rules.push(rule().comment(`Start of tier ${tier.name}`).clearMark(marks.pass));
    for (const policy of policies) {
      rules.push(rule().markClear(marks.pass).jump(policyChain(direction, policy)));
      rules.push(rule().comment("Return if policy accepted").markSet(marks.accept).return());
    }
    if (tier.defaultAction === "deny") {
      const end = rule()
        .comment(`End of tier ${tier.name}. Drop if no policies passed packet`)
        .markClear(marks.pass);
      rules.push(denyRule(end, config));
    }
  }
  for (const profile of endpoint.profiles) {
    rules.push(rule().jump(profileChain(direction, profile)));
    rules.push(rule().comment("Return if profile accepted").markSet(marks.accept).return());
  }
  rules.push(denyRule(rule().comment("Drop if no profiles matched"), config));
  return rules;
}
