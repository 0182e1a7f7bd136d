/** The states of ../shared/conformance/netpol, and each as the documents that a cluster in that state would hold. */

import { readFileSync } from "node:fs";

type Transport = "TCP" | "UDP" | "SCTP";

export interface Case {
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

export const caseFile = new URL("../../../../shared/conformance/netpol/cases.json", import.meta.url);

/** What a cluster in that state would hold. A pod on the host's network is alone on a node of its own name. */
export function documentsOf({ namespaces, pods, objects }: Case): object[] {
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

export function readCases(): Case[] {
  return JSON.parse(readFileSync(caseFile, "utf8")) as Case[];
}
