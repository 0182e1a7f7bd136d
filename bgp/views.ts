/**
 * The datastore as the rules about routes see it: what a session lets out and in, and what goes into the kernel. Pure, and made
 * anew only when something they are made of has changed, because then every route has to be judged again.
 */

import type { BGPConfiguration } from "../crd-schemas/index.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import type { ForwardingView } from "./forwarding.ts";
import { wireguardPeers } from "./peering.ts";
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

function textOf(values: object): string {
  return JSON.stringify(values, (_name, value) => {
    if (value instanceof Map || value instanceof Set) return [...value];
    return typeof value === "function" ? [value(4), value(6)] : value;
  });
}
