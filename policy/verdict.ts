/** What is decided about a packet, where, and by what. */

import type { Action, Direction } from "./model.ts";

/** A rule by where it stands: the policy's key or the profile's name, and its place in that direction's list. */
export type Reason =
  | { readonly kind: "policy"; readonly tier: string; readonly policy: string; readonly rule: number }
  | { readonly kind: "tier-default"; readonly tier: string }
  | { readonly kind: "profile"; readonly profile: string; readonly rule: number }
  /** No profile allowed it. */
  | { readonly kind: "no-profile" }
  /** No policy may close the port. */
  | { readonly kind: "failsafe" }
  /** Forwarding is allowed where no policy about it decided. */
  | { readonly kind: "forward-default" }
  /** A host reaches its own workloads, whatever policies say. */
  | { readonly kind: "host-to-workload" }
  /** The configuration's `defaultEndpointToHostAction`, for what a workload's policy let through to its own host. */
  | { readonly kind: "endpoint-to-host"; readonly action: "accept" | "drop" | "return" }
  /** IPv6 does not work without it, so a workload may always ask its host. */
  | { readonly kind: "neighbor-discovery" }
  /** Neither its own address nor one it may send from. */
  | { readonly kind: "spoofed-source" }
  /** A workload that makes VXLAN or IPIP packets itself could reach around policy. */
  | { readonly kind: "encapsulated" };

/** Which policies of a host endpoint are asked: before connection tracking, before DNAT, about the host, about forwarding. */
export type Category = "untracked" | "preDNAT" | "normal" | "forward";

export interface Step {
  readonly action: Action;
  readonly reason: Reason;
  /** At host endpoints. */
  readonly category?: Category;
}

export interface DirectionVerdict {
  /** The endpoint's id; the host's name where the host itself decides. */
  readonly endpoint: string;
  readonly kind: "workload" | "host-endpoint" | "host";
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  /** Every rule that matched and every default that was used; the last step is what decided. */
  readonly trace: readonly Step[];
}

export interface Verdict {
  readonly verdict: "allow" | "deny";
  /** Those that were asked, in the order of the packet's way; none where no policy stands between the two. */
  readonly directions: readonly DirectionVerdict[];
}
