/**
 * What the calculation hands to the dataplane: how this host should look from now on, as differences to what was
 * handed over before. Maps, so that a thing that changed twice between two hand-overs is told once; no order among
 * them, because what has to come before what is the dataplane's knowledge.
 *
 * Undefined as a value means: no longer wanted.
 */

import type { Cidr } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import type { Mac } from "../../net/mac.ts";
import type { Policy, Profile } from "../../policy/model.ts";

/** Addresses and CIDRs (`10.0.0.1`, `10.0.0.0/8`), or `10.0.0.1,tcp:80`; both IP versions mixed. */
export type SetMember = string;

/** `net`: addresses and CIDRs. `ip-port`: address, protocol and port, for named ports. */
export type SetType = "net" | "ip-port";

export type SetChange =
  /** A new set, or one that is to be replaced. */
  | { readonly kind: "whole"; readonly type: SetType; readonly members: ReadonlySet<SetMember> }
  | {
      readonly kind: "delta";
      readonly added: ReadonlySet<SetMember>;
      readonly removed: ReadonlySet<SetMember>;
    };

/** The policies of one tier that apply to an endpoint, in order, by id, for each direction. */
export interface EndpointTier {
  readonly name: string;
  readonly defaultAction: "deny" | "pass";
  readonly ingress: readonly string[];
  readonly egress: readonly string[];
}

/** A workload on this host. */
export interface LocalEndpoint {
  /** Names the status file, and the endpoint in messages. */
  readonly id: string;
  readonly interfaceName: string;
  /** False: nothing in, nothing out. */
  readonly enabled: boolean;
  readonly addresses: readonly Ip[];
  readonly mac: Mac | undefined;
  readonly tiers: readonly EndpointTier[];
  readonly profiles: readonly string[];
  /** Prefixes it may send from besides its own addresses. */
  readonly allowedSources: readonly Cidr[];
}

export interface PoolInfo {
  readonly cidr: Cidr;
  readonly masquerade: boolean;
}

export interface Changes {
  readonly sets: ReadonlyMap<string, SetChange | undefined>;
  /** Policies that some local endpoint needs, by id (`np/default/allow-web`). */
  readonly policies: ReadonlyMap<string, Policy | undefined>;
  readonly profiles: ReadonlyMap<string, Profile | undefined>;
  /** All applied, no two endpoints have one interface; halfway, in any order, they may. */
  readonly endpoints: ReadonlyMap<string, LocalEndpoint | undefined>;
  readonly pools: ReadonlyMap<string, PoolInfo | undefined>;
}
