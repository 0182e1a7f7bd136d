/**
 * Kubernetes' EndpointSlices (discovery.k8s.io/v1) as far as policy needs them. Its API server has validated them; in other
 * datastores anybody may have put them there.
 */

import { ip } from "../../net/ip.ts";
import type { ServiceSlice } from "./service-sets.ts";

const SERVICE_LABEL = "kubernetes.io/service-name";

/** The fields read; all may be missing. */
interface EndpointSlice {
  readonly metadata?: { readonly labels?: Readonly<Record<string, string>> | null };
  readonly addressType?: string;
  readonly endpoints?: readonly { readonly addresses?: readonly string[] }[] | null;
  readonly ports?: readonly { readonly protocol?: string | null; readonly port?: number | null }[] | null;
}

/** Undefined for one of no service, or of names instead of addresses. @throws AddressError */
export function serviceSlice(namespace: string, slice: EndpointSlice): ServiceSlice | undefined {
  const service = slice.metadata?.labels?.[SERVICE_LABEL];
  if (!service || slice.addressType === "FQDN") return undefined;
  return {
    service: `${namespace}/${service}`,
    addresses: (slice.endpoints ?? []).flatMap(({ addresses }) => (addresses ?? []).map(ip)),
    // A port without number means all ports, which no set can say.
    ports: (slice.ports ?? []).flatMap(({ protocol, port }) =>
      port ? [{ protocol: (protocol || "TCP").toLowerCase(), port }] : [],
    ),
  };
}
