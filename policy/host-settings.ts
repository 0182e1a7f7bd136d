/** What FelixConfigurations say that decides about packets. One for all hosts, `default`, and one for some, `node.<name>`. */

import { type FelixConfiguration, type ProtoPort, protocolNumber } from "../crd-schemas/index.ts";
import { cidr } from "../net/cidr.ts";
import { DEFAULT_FAILSAFES, type FailsafePort } from "./failsafes.ts";
import type { HostSettings } from "./policy-state.ts";

export const DEFAULT_SETTINGS: HostSettings = {
  endpointToHost: "drop",
  failsafes: DEFAULT_FAILSAFES,
  floatingIps: false,
  encapsulated: { vxlan: false, vxlanPort: 4789, ipip: false },
};

/** What the configuration does not say is as in `base`. */
export function hostSettings({ spec }: FelixConfiguration, base: HostSettings): HostSettings {
  const action = spec.defaultEndpointToHostAction?.toLowerCase() as
    | HostSettings["endpointToHost"]
    | undefined;
  return {
    endpointToHost: action ?? base.endpointToHost,
    failsafes: {
      ingress: spec.failsafeInboundHostPorts?.map(failsafe) ?? base.failsafes.ingress,
      egress: spec.failsafeOutboundHostPorts?.map(failsafe) ?? base.failsafes.egress,
    },
    floatingIps: spec.floatingIPs === undefined ? base.floatingIps : spec.floatingIPs === "Enabled",
    encapsulated: {
      vxlan: spec.allowVXLANPacketsFromWorkloads ?? base.encapsulated.vxlan,
      vxlanPort: spec.vxlanPort ?? base.encapsulated.vxlanPort,
      ipip: spec.allowIPIPPacketsFromWorkloads ?? base.encapsulated.ipip,
    },
  };
}

function failsafe({ protocol, net, port }: ProtoPort): FailsafePort {
  const number = protocolNumber(protocol ?? "TCP");
  return {
    protocol: number === 17 ? "udp" : number === 132 ? "sctp" : "tcp",
    net: net ? cidr(net) : undefined,
    port,
  };
}
