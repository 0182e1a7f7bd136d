/** Staged Kubernetes policies: the rules the Kubernetes API server has for network policies. */

import { contains, parseCidr } from "../../net/cidr.ts";
import type {
  KubernetesPolicyPeer,
  KubernetesPolicyPort,
  LabelSelector,
  StagedKubernetesNetworkPolicy,
} from "../generated/types.ts";
import type { Path, Report } from "../problem.ts";
import { checkLabels } from "./metadata.ts";
import { isLabelKey, isLabelValue } from "./names.ts";

export function checkStagedKubernetesNetworkPolicy(
  { spec }: StagedKubernetesNetworkPolicy,
  report: Report,
): void {
  checkSelector(spec.podSelector, ["spec", "podSelector"], report);
  for (const [i, { ports, from }] of (spec.ingress ?? []).entries()) {
    checkPorts(ports, ["spec", "ingress", i, "ports"], report);
    checkPeers(from, ["spec", "ingress", i, "from"], report);
  }
  for (const [i, { ports, to }] of (spec.egress ?? []).entries()) {
    checkPorts(ports, ["spec", "egress", i, "ports"], report);
    checkPeers(to, ["spec", "egress", i, "to"], report);
  }
}

function checkPorts(ports: KubernetesPolicyPort[] | undefined, path: Path, report: Report): void {
  for (const [i, { port, endPort }] of (ports ?? []).entries()) {
    if (typeof port === "number" && (port < 1 || port > 65535)) {
      report([...path, i, "port"], `${port} is not a port`, "a port from 1 to 65535");
    }
    if (endPort === undefined) continue;
    if (typeof port !== "number") {
      report([...path, i, "port"], "endPort needs a port by number", "a port from 1 to 65535");
    } else if (endPort < port) {
      report([...path, i, "endPort"], `endPort ${endPort} is below port ${port}`, `${port} or more`);
    }
  }
}

function checkPeers(peers: KubernetesPolicyPeer[] | undefined, path: Path, report: Report): void {
  for (const [i, { ipBlock, podSelector, namespaceSelector }] of (peers ?? []).entries()) {
    const at = [...path, i];
    checkSelector(podSelector, [...at, "podSelector"], report);
    checkSelector(namespaceSelector, [...at, "namespaceSelector"], report);
    if (!ipBlock) {
      if (!podSelector && !namespaceSelector)
        report(at, "the peer is empty", "podSelector, namespaceSelector or ipBlock");
      continue;
    }
    if (podSelector || namespaceSelector) {
      report([...at, "ipBlock"], "ipBlock and selectors exclude each other", "one of them");
    }
    const block = parseCidr(ipBlock.cidr);
    for (const [j, text] of (ipBlock.except ?? []).entries()) {
      const part = parseCidr(text);
      if (block && part && (part === block || !contains(block, part))) {
        report(
          [...at, "ipBlock", "except", j],
          `${text} is not a part of ${ipBlock.cidr}`,
          "a smaller block inside it",
        );
      }
    }
  }
}

/** Keys and values become text of a selector: what is no label must not get there. */
function checkSelector(selector: LabelSelector | undefined, path: Path, report: Report): void {
  checkLabels(selector?.matchLabels, [...path, "matchLabels"], report);
  for (const [i, { key, operator, values }] of (selector?.matchExpressions ?? []).entries()) {
    const at = [...path, "matchExpressions", i];
    if (!isLabelKey(key)) report([...at, "key"], `invalid label key "${key}"`, "the key of a label");
    for (const [j, value] of (values ?? []).entries()) {
      if (!isLabelValue(value))
        report([...at, "values", j], `invalid label value "${value}"`, "the value of a label");
    }
    const needsValues = operator === "In" || operator === "NotIn";
    if (needsValues === (values !== undefined && values.length > 0)) continue;
    if (needsValues) report([...at, "values"], `${operator} has no values`, "at least one value");
    else report([...at, "values"], `${operator} takes no values`, "no values");
  }
}
