/** A recorded state as the Kubernetes objects it was, with the addresses that its pods have here. Pure. */

import { type Cidr, cidr } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import { AddressMap } from "./addresses.ts";
import type { RecordedCase, RecordedPod } from "./cases.ts";

/** Where a pod is in the lab. */
export interface PlacedPod {
  readonly recorded: RecordedPod;
  readonly node: string;
  readonly nodeAddress: Ip;
  readonly address: Ip;
}

/** Of the nodes that are named too: a node has labels where a pod on it says so. */
export function documentsOf(
  recorded: RecordedCase,
  pods: readonly PlacedPod[],
  pools: readonly Cidr[],
): unknown[] {
  const moved = pods.map(pod => ({ recorded: pod.recorded.ip, here: pod.address }));
  const addresses = new AddressMap(moved, pools);
  const nodes = new Map(pods.filter(pod => pod.recorded.nodeLabels).map(pod => [pod.node, pod]));
  return [
    ...recorded.namespaces.map(({ name, labels }) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels },
    })),
    ...[...nodes.values()].map(nodeOf),
    ...pods.map(podOf),
    ...recorded.objects.map(object => translated(object, addresses)),
  ];
}

function nodeOf({ node, nodeAddress, recorded }: PlacedPod): unknown {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node, labels: recorded.nodeLabels },
    status: { addresses: [{ type: "InternalIP", address: nodeAddress }] },
  };
}

function podOf({ recorded, node, nodeAddress, address }: PlacedPod): unknown {
  const { ns, name, labels, ports, hostNetwork, serviceAccount } = recorded;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: ns, name, labels },
    spec: {
      nodeName: node,
      ...(hostNetwork && { hostNetwork }),
      ...(serviceAccount && { serviceAccountName: serviceAccount }),
      containers: [
        {
          name: "server",
          ports: ports.map(({ name: portName, port, protocol }) => ({
            ...(portName && { name: portName }),
            protocol,
            containerPort: port,
          })),
        },
      ],
    },
    status: { podIP: address, hostIP: nodeAddress },
  };
}

/** Peers are the only places where addresses stand: ipBlock of NetworkPolicies, networks of those above them. */
function translated(value: unknown, addresses: AddressMap): unknown {
  if (Array.isArray(value)) return value.flatMap(item => peers(item, addresses));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === "networks" && Array.isArray(inner)
        ? inner.flatMap(net => addresses.cidrs(cidr(String(net))))
        : translated(inner, addresses),
    ]),
  );
}

/** One block may become several, each a peer. */
function peers(item: unknown, addresses: AddressMap): unknown[] {
  const { ipBlock } = (item ?? {}) as { ipBlock?: { cidr: string; except?: string[] } };
  if (!ipBlock) return [translated(item, addresses)];
  const except = (ipBlock.except ?? []).map(each => cidr(each));
  return addresses.block(cidr(ipBlock.cidr), except).map(block => ({
    ...(item as object),
    ipBlock: { cidr: block.cidr, ...(block.except.length > 0 && { except: block.except }) },
  }));
}
