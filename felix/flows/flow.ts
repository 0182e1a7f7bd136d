/** A flow as felix tells it: packets of one kind between two ends that one rule decided about. */

import type { Ip } from "../../net/ip.ts";
import type { Direction } from "../../policy/model.ts";
import type { FlowReason } from "../dataplane/flow-prefix.ts";

/** One end; with what is known of the address. */
export interface FlowEnd {
  readonly address: Ip;
  readonly kind?: "workload" | "host-endpoint" | "node";
  /** Of a workload. */
  readonly namespace?: string;
  readonly name?: string;
}

/** Also: what is forwarded is allowed where no policy of a host endpoint is about it, which no rule would log. */
export type StagedReason = FlowReason | { readonly kind: "forward-default" };

export interface StagedVerdict {
  readonly verdict: "allow" | "deny";
  /** A staged policy by its own key: `snp/shop/web`. */
  readonly decidedBy: StagedReason;
}

/**
 * A connection between two workloads of one host is decided twice, on its way out and on its way in: two flows.
 * Connections that policy allowed are counted when they begin, packets that it denied one by one.
 */
export interface Flow {
  readonly source: FlowEnd;
  readonly destination: FlowEnd;
  /** By name where it has one. */
  readonly protocol: string | number;
  readonly port?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** `egress`: decided by what applies to the source; `ingress`: to the destination. */
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  readonly decidedBy: FlowReason;
  /** What it would be if staged policies were in force; only where one has a part in what applies there. */
  readonly staged?: StagedVerdict;
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly first: number;
  readonly last: number;
}

export interface FlowFilter {
  /** Of either end. */
  readonly namespace?: string | undefined;
  /** What decided, or would if staged policies were in force: a policy's key or its last part, a profile, a tier. */
  readonly policy?: string | undefined;
  readonly verdict?: "allow" | "deny" | undefined;
}

export function isWanted(flow: Flow, { namespace, policy, verdict }: FlowFilter): boolean {
  if (verdict !== undefined && flow.verdict !== verdict) return false;
  if (namespace !== undefined && ![flow.source.namespace, flow.destination.namespace].includes(namespace))
    return false;
  if (policy === undefined) return true;
  return [flow.decidedBy, flow.staged?.decidedBy].some(reason => {
    const name = reason && reasonName(reason);
    return name === policy || name?.split("/").at(-1) === policy;
  });
}

function reasonName(reason: StagedReason): string | undefined {
  if (reason.kind === "tier-default") return reason.tier;
  return "name" in reason ? reason.name : undefined;
}

/** As people and metrics name it, without the rule's number. */
export function reasonText(reason: StagedReason): string {
  switch (reason.kind) {
    case "policy":
      return reason.name;
    case "profile":
      return `profile ${reason.name}`;
    case "tier-default":
      return `tier ${reason.tier}`;
    case "no-profile":
      return "no profile";
    case "forward-default":
      return "forwarding";
  }
}
