/**
 * Pods as WorkloadEndpoints, as far as policy needs them: who they are, where, under which addresses and ports.
 *
 * A pod on the host's network is the host: it has no endpoint, only a name for the host's address. A finished pod has no
 * address any more.
 */

import { createHash } from "node:crypto";
import {
  API_VERSION,
  isLabel,
  type WorkloadEndpoint,
  type WorkloadEndpointPort,
  workloadEndpointName,
} from "../../crd-schemas/index.ts";
import { type Cidr, hostCidr, parseCidr } from "../../net/cidr.ts";
import { type Ip, ipVersion, parseIp } from "../../net/ip.ts";
import { NAMESPACE_LABEL, SERVICE_ACCOUNT_LABEL } from "../resolve.ts";
import type { Fields } from "./fields.ts";
import { namespaceProfileName, serviceAccountProfileName } from "./kubernetes-namespaces.ts";
import { TRANSPORTS } from "./kubernetes-ports.ts";
import { ORCHESTRATOR_LABEL } from "./kubernetes-selectors.ts";

export interface KubernetesPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** Undefined until it is scheduled, and in files from which it is yet to be made. */
  readonly node: string | undefined;
  readonly hostNetwork: boolean;
  /** It has run to its end. */
  readonly finished: boolean;
  readonly addresses: readonly Ip[];
  readonly hostAddresses: readonly Ip[];
  readonly ports: readonly WorkloadEndpointPort[];
  readonly floatingIps: readonly Ip[];
  readonly allowedSources: readonly Cidr[];
}

/** All that a pod may say and policy does not ask about is left alone. */
export function readPod(document: Fields): KubernetesPod {
  const metadata = document.object("metadata");
  const spec = document.object("spec");
  const status = document.object("status");
  const annotations = metadata.texts("annotations") ?? {};
  const phase = status.string("phase");
  const address = (fields: Fields, name: string): Ip[] => {
    const ip = fields.parsed(name, value => parseIp(String(value)), "an IP address");
    return ip === undefined ? [] : [ip];
  };
  const own = [...status.objects("podIPs").flatMap(one => address(one, "ip")), ...address(status, "podIP")];
  const hosts = [
    ...status.objects("hostIPs").flatMap(one => address(one, "ip")),
    ...address(status, "hostIP"),
  ];
  return {
    namespace: metadata.string("namespace") ?? "default",
    name: metadata.requiredName("name") ?? "",
    labels: metadata.texts("labels") ?? {},
    serviceAccount: spec.string("serviceAccountName") ?? "default",
    node: spec.string("nodeName"),
    hostNetwork: spec.boolean("hostNetwork") ?? false,
    finished: phase === "Succeeded" || phase === "Failed",
    addresses: [...new Set(own)],
    hostAddresses: [...new Set(hosts)],
    ports: [...spec.objects("initContainers"), ...spec.objects("containers")].flatMap(readPorts),
    floatingIps: annotated(
      metadata,
      annotations,
      "cni.projectcalico.org/floatingIPs",
      parseIp,
      "IP addresses",
    ),
    allowedSources: annotated(
      metadata,
      annotations,
      "cni.projectcalico.org/allowedSourcePrefixes",
      parseCidr,
      "CIDRs",
    ),
  };
}

function readPorts(container: Fields): WorkloadEndpointPort[] {
  return container.objects("ports").flatMap(entry => {
    const name = entry.string("name");
    const protocol = entry.oneOf("protocol", TRANSPORTS) ?? "TCP";
    const port = entry.requiredPort("containerPort");
    const hostPort = entry.port("hostPort");
    if (port === undefined) return [];
    return [{ ...(name && { name }), protocol, port, ...(hostPort !== undefined && { hostPort }) }];
  });
}

/** A list in JSON. */
function annotated<T>(
  metadata: Fields,
  annotations: Readonly<Record<string, string>>,
  key: string,
  parse: (text: string) => T | undefined,
  what: string,
): T[] {
  const text = annotations[key];
  if (text === undefined) return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  const parsed = Array.isArray(list) ? list.map(one => parse(String(one))) : [undefined];
  if (!parsed.includes(undefined)) return parsed as T[];
  metadata.problem(["annotations", key], `"${text}" is wrong`, `a JSON list of ${what}`);
  return [];
}

/** `addresses` may be others than the pod says itself. */
export function podEndpoint(pod: KubernetesPod, addresses: readonly Ip[] = pod.addresses): WorkloadEndpoint {
  const { namespace, name, serviceAccount, node } = pod;
  const identity = { orchestrator: "k8s", pod: name, endpoint: "eth0", ...(node && { node }) };
  const ipNATs = pod.floatingIps.flatMap(externalIP => {
    const internalIP = addresses.find(address => ipVersion(address) === ipVersion(externalIP));
    return internalIP === undefined ? [] : [{ internalIP, externalIP }];
  });
  return {
    apiVersion: API_VERSION,
    kind: "WorkloadEndpoint",
    metadata: {
      name: workloadEndpointName(identity) ?? name,
      namespace,
      labels: {
        ...pod.labels,
        [NAMESPACE_LABEL]: namespace,
        [ORCHESTRATOR_LABEL]: "k8s",
        // Names of accounts may be longer than values of labels.
        ...(isLabel(serviceAccount) && { [SERVICE_ACCOUNT_LABEL]: serviceAccount }),
      },
    },
    spec: {
      ...identity,
      serviceAccountName: serviceAccount,
      ipNetworks: addresses.map(hostCidr),
      profiles: [namespaceProfileName(namespace), serviceAccountProfileName(namespace, serviceAccount)],
      interfaceName: podInterfaceName(namespace, name),
      ...(pod.ports.length > 0 && { ports: [...pod.ports] }),
      ...(ipNATs.length > 0 && { ipNATs }),
      ...(pod.allowedSources.length > 0 && { allowSpoofedSourcePrefixes: [...pod.allowedSources] }),
    },
  };
}

/** The host's end of the pod's interface, as every CNI plugin of Calico's names it. */
export function podInterfaceName(namespace: string, name: string): string {
  return `cali${createHash("sha1").update(`${namespace}.${name}`).digest("hex").slice(0, 11)}`;
}
