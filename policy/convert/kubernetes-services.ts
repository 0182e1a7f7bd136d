/**
 * What stands behind a service: the addresses and ports of its EndpointSlices, ready or not, because a pod that is not
 * ready is still the service's. Where there is a service but no slice of it, as in files, the pods it selects.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import { type Ip, parseIp } from "../../net/ip.ts";
import type { Fields } from "./fields.ts";
import type { KubernetesPod } from "./kubernetes-pods.ts";
import { TRANSPORTS } from "./kubernetes-ports.ts";

export interface ServiceAddress {
  readonly address: Ip;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface KubernetesService {
  readonly namespace: string;
  readonly name: string;
  /** Undefined: its addresses are somebody else's business. */
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly ports: readonly {
    readonly protocol: Protocol;
    readonly port: number;
    readonly targetPort: number | string;
  }[];
}

export interface KubernetesEndpointSlice {
  readonly namespace: string;
  readonly service: string;
  readonly addresses: readonly ServiceAddress[];
}

export function readService(document: Fields): KubernetesService {
  const metadata = document.object("metadata");
  const spec = document.object("spec");
  return {
    namespace: metadata.string("namespace") ?? "default",
    name: metadata.requiredName("name") ?? "",
    selector: spec.texts("selector"),
    ports: spec.objects("ports").flatMap(entry => {
      const port = entry.port("port");
      const targetPort =
        typeof entry.value("targetPort") === "string" ? entry.string("targetPort") : entry.port("targetPort");
      return port === undefined
        ? []
        : [{ protocol: entry.oneOf("protocol", TRANSPORTS) ?? "TCP", port, targetPort: targetPort ?? port }];
    }),
  };
}

/** Undefined for a slice that belongs to no service. */
export function readEndpointSlice(document: Fields): KubernetesEndpointSlice | undefined {
  const metadata = document.object("metadata");
  const service = metadata.texts("labels")?.["kubernetes.io/service-name"];
  const ports = document.objects("ports").flatMap(entry => {
    const port = entry.port("port");
    return port === undefined ? [] : [{ protocol: entry.oneOf("protocol", TRANSPORTS) ?? "TCP", port }];
  });
  const isName = document.string("addressType") === "FQDN";
  const addresses = isName
    ? []
    : document
        .objects("endpoints")
        .flatMap(entry => entry.parsedList("addresses", value => parseIp(String(value)), "an IP address"));
  if (!service) return undefined;
  return {
    namespace: metadata.string("namespace") ?? "default",
    service,
    addresses: addresses.flatMap(address => ports.map(port => ({ address, ...port }))),
  };
}

/** `addressesOf`: a pod's, as they are evaluated. */
export function serviceAddresses(
  service: KubernetesService,
  pods: readonly KubernetesPod[],
  addressesOf: (pod: KubernetesPod) => readonly Ip[],
): ServiceAddress[] {
  const wanted = Object.entries(service.selector ?? {});
  if (wanted.length === 0) return [];
  const selected = pods.filter(
    pod =>
      pod.namespace === service.namespace &&
      !pod.finished &&
      wanted.every(([key, value]) => pod.labels[key] === value),
  );
  return selected.flatMap(pod =>
    service.ports.flatMap(({ protocol, targetPort }) => {
      const port =
        typeof targetPort === "number"
          ? targetPort
          : pod.ports.find(one => one.name === targetPort && one.protocol === protocol)?.port;
      return port === undefined ? [] : addressesOf(pod).map(address => ({ address, protocol, port }));
    }),
  );
}
