/** What a lab's networks and workloads are in the datastore. Pure. */

import { createHash } from "node:crypto";
import { type Profile, type WorkloadEndpoint, workloadEndpointName } from "../crd-schemas/index.ts";
import { hostCidr } from "../net/cidr.ts";
import { namespaceProfileName } from "../policy/convert/kubernetes-namespaces.ts";
import { v1ProfileName } from "../policy/convert/v1-names.ts";
import type { NetworkRecord, WorkloadRecord } from "./state.ts";
import { WORKLOAD_INTERFACE } from "./wiring.ts";

/** In the names of WorkloadEndpoints and of IPAM handles (calico.md 1.5). */
export const ORCHESTRATOR = "lab";

/** A network is a profile: its members have a label named after it, and let in only each other. */
export function profileOf(network: string): Profile {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "Profile",
    metadata: { name: v1ProfileName(network) },
    spec: {
      labelsToApply: { [network]: "" },
      ingress: [{ action: "Allow", source: { selector: `${network} == ''` } }],
      egress: [{ action: "Allow" }],
    },
  };
}

/** 15 characters, which is all an interface's name may have. */
export function interfaceNameOf(lab: string, workload: string): string {
  return `cali${createHash("sha1").update(`${lab}.${workload}`).digest("hex").slice(0, 11)}`;
}

/** `pod`: it is known as Kubernetes' pod of that name. */
export function identityOf(host: string, workload: string, pod: string | undefined) {
  const whose = pod === undefined ? { orchestrator: ORCHESTRATOR, workload } : { orchestrator: "k8s", pod };
  return { ...whose, node: host, endpoint: WORKLOAD_INTERFACE };
}

export function endpointNameOf(host: string, workload: string, pod?: string): string {
  // plan.ts lets no name through that cannot be part of one
  return workloadEndpointName(identityOf(host, workload, pod)) as string;
}

export function endpointOf(
  workload: WorkloadRecord,
  network: NetworkRecord | undefined,
  labels: Readonly<Record<string, string>> = {},
  more: WorkloadEndpoint["spec"] = {},
): WorkloadEndpoint {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "WorkloadEndpoint",
    metadata: { name: workload.resourceName, namespace: workload.resourceNamespace, labels: { ...labels } },
    spec: {
      ...identityOf(workload.host, workload.name, workload.pod),
      interfaceName: workload.interfaceName,
      ipNetworks: workload.addresses.map(hostCidr),
      profiles: network ? [network.profile] : [namespaceProfileName(workload.resourceNamespace)],
      ...more,
    },
  };
}
