/** What one table holds besides policies and workloads: our chains, and our rules in the kernel's own. */

import type { Rule } from "iptables-ts";
import type { Cidr } from "../../../net/cidr.ts";
import type { LocalEndpoint } from "../../calc/changes.ts";
import type { HostEndpoints } from "./host-chains.ts";

export interface TableChains {
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  /** Rules for the kernel's own chains: at the top or, as configured, at the end. None: ours is not called from there. */
  readonly hooks: ReadonlyMap<string, readonly Rule[]>;
  /** Rules that belong at the end of a kernel chain whatever the insert mode. */
  readonly appends: ReadonlyMap<string, readonly Rule[]>;
}

/** What of the host's state the chains depend on, of one IP version. What nothing needs is not programmed. */
export interface HostState {
  /** Names of the chains that dispatch to host endpoints in this table (host-chains.ts). */
  readonly hostDispatch: ReadonlySet<string>;
  readonly ipip: boolean;
  readonly vxlan: boolean;
  readonly serviceCidrs: readonly Cidr[];
  /** Those that need more than their policies. */
  readonly endpoints: readonly LocalEndpoint[];
  readonly hostEndpoints: HostEndpoints;
}
