/**
 * Nodes: as v3 Nodes, which say what a host's own addresses are, and as network sets of these addresses, which rules
 * can select. A node's labels get a prefix there, so that no selector on pods means a node by accident.
 */

import { API_VERSION, type GlobalNetworkSet, type Node } from "../../crd-schemas/index.ts";
import { type Ip, parseIp } from "../../net/ip.ts";
import type { Fields } from "./fields.ts";

export const NODE_PREFIX = "pcnode.";
export const NODE_NAME_LABEL = `${NODE_PREFIX}projectcalico.org/name`;

export interface KubernetesNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly Ip[];
}

/** Host names among the addresses are left out: policy does not ask DNS. */
export function readNode(metadata: Fields, status: Fields): KubernetesNode {
  const name = metadata.requiredName("name") ?? "";
  const labels = metadata.texts("labels") ?? {};
  const addresses = status.objects("addresses").flatMap(entry => {
    const type = entry.string("type");
    if (type !== "InternalIP" && type !== "ExternalIP") return [];
    return entry.parsed("address", value => parseIp(String(value)), "an IP address") ?? [];
  });
  return { name, labels, addresses: [...new Set(addresses)] };
}

export function nodeResource({ name, labels, addresses }: KubernetesNode): Node {
  return {
    apiVersion: API_VERSION,
    kind: "Node",
    metadata: { name, labels: { ...labels } },
    spec: {
      addresses: addresses.map(address => ({ address, type: "InternalIP" })),
      orchRefs: [{ orchestrator: "k8s", nodeName: name }],
    },
  };
}

export function nodeNetworkSet({ name, labels, addresses }: KubernetesNode): GlobalNetworkSet {
  const prefixed = Object.entries(labels).map(([key, value]) => [NODE_PREFIX + key, value]);
  return {
    apiVersion: API_VERSION,
    kind: "GlobalNetworkSet",
    metadata: {
      name: `knode.${name}`,
      labels: { ...Object.fromEntries(prefixed), [NODE_NAME_LABEL]: name },
    },
    spec: { nets: [...addresses] },
  };
}
