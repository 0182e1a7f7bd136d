/**
 * The datastore as the rules about routes see it: what a session lets out and in, and what goes into the kernel. Pure, and made
 * anew only when something they are made of has changed, because then every route has to be judged again.
 */

import type { BGPConfiguration, Node } from "../crd-schemas/index.ts";
import { type Cidr, parseCidr, parseInterfaceAddress } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { ForwardingView } from "./forwarding.ts";
import { poolViews, programmedByBgp } from "./pool-view.ts";
import { NORMAL_PRIORITY, type NormalPriority } from "./priority.ts";
import { EMPTY_VIEW, type PolicyView, policyView } from "./route-policy.ts";
import { serviceCidrs } from "./services.ts";
import type { BgpState } from "./state.ts";

export interface Views {
  /** Equal where the views are. */
  readonly basis: string;
  readonly policy: PolicyView;
  readonly forwarding: ForwardingView;
}

const NOTHING: ReadonlySet<Cidr> = new Set();

export const NO_VIEWS: Views = {
  basis: "",
  policy: EMPTY_VIEW,
  forwarding: {
    pools: [],
    normalPriority: () => NORMAL_PRIORITY,
    programmed: new Set(),
    rejected: NOTHING,
    subnet: undefined,
    wireguardPeers: NOTHING,
  },
};

/** `configuration`: the effective one. `before` where they are the same. */
export function viewsOf(
  { pools: resources, nodes, filters, blocks }: BgpState,
  nodeName: string,
  configuration: NonNullable<BGPConfiguration["spec"]>,
  before: Views,
): Views {
  const { ipv4NormalRoutePriority, ipv6NormalRoutePriority } = configuration;
  const normalPriority: NormalPriority = version =>
    (version === 4 ? ipv4NormalRoutePriority : ipv6NormalRoutePriority) ?? NORMAL_PRIORITY;
  const own = nodes.get(nodeName)?.spec?.bgp;
  const shared = {
    pools: poolViews(resources.values()),
    normalPriority,
    programmed: programmedByBgp(configuration),
  };
  const reflector = Boolean(own?.routeReflectorClusterID);
  const policies = { ...shared, filters, configuration, reflector, blocks: [...blocks] };
  const forwarding: ForwardingView = {
    ...shared,
    // Where the ranges of services lead is kube-proxy's business on every node.
    rejected: new Set(serviceCidrs(configuration)),
    subnet: own?.ipv4Address === undefined ? undefined : parseCidr(own.ipv4Address),
    wireguardPeers: wireguardPeers(nodes, nodeName),
  };
  const basis = textOf({ ...policies, ...forwarding });
  return basis === before.basis ? before : { basis, policy: policyView(policies), forwarding };
}

/** Addresses of nodes that packets go to through WireGuard; none where it is off on this node (calico.md 4.5). */
function wireguardPeers(nodes: ReadonlyMap<string, Node>, nodeName: string): ReadonlySet<Ip> {
  const found = new Set<Ip>();
  const own = nodes.get(nodeName)?.status;
  for (const { metadata, spec, status } of nodes.values()) {
    if (metadata.name === nodeName) continue;
    const [v4, v6] = [spec?.bgp?.ipv4Address, spec?.bgp?.ipv6Address].map(
      text => text && parseInterfaceAddress(text)?.ip,
    );
    if (v4 && own?.wireguardPublicKey && status?.wireguardPublicKey) found.add(v4);
    if (v6 && own?.wireguardPublicKeyV6 && status?.wireguardPublicKeyV6) found.add(v6);
  }
  return found;
}

function textOf(values: object): string {
  return JSON.stringify(values, (_name, value) => {
    if (value instanceof Map || value instanceof Set) return [...value];
    return typeof value === "function" ? [value(4), value(6)] : value;
  });
}
