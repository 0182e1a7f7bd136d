/** What is tried, and what can be seen of it. */

import { PROTOCOL_NUMBERS, type Protocol, protocolNumber } from "../../crd-schemas/index.ts";
import type { Ip } from "../../net/ip.ts";
import type { Verdict } from "../probe.ts";

/** Where packets start or end. */
export interface ProbeEnd {
  readonly name: string;
  /** Network namespace. */
  readonly namespace: string;
  readonly addresses: readonly Ip[];
}

export interface Flow {
  readonly from: ProbeEnd;
  /** Who receives it, if it is let through. */
  readonly to: ProbeEnd;
  /** The destination, where it is none of the receiver's own addresses (it is translated on the way). */
  readonly address: Ip;
  readonly protocol: Protocol;
  /** Destination port, of protocols that have one. */
  readonly port?: number | undefined;
  /** Where the receiver answers, if not at `port` (it is translated on the way). */
  readonly servedPort?: number | undefined;
  readonly sourcePort?: number | undefined;
  readonly icmp?: { readonly type: number; readonly code: number } | undefined;
  /** An address that is not the sender's own, to send from. */
  readonly source?: Ip | undefined;
  /** `arrival`: that it came is enough, whether or not an answer comes back. */
  readonly evidence?: "answer" | "arrival" | undefined;
  readonly expect: Verdict;
}

export interface Observation {
  readonly flow: Flow;
  readonly verdict: Verdict;
  /** Somebody said no, instead of nothing. */
  readonly rejected: boolean;
}

/** ICMP's, of both versions. */
export const ECHO_REQUESTS: readonly number[] = [8, 128];
export const ECHO_REPLIES: readonly number[] = [0, 129];

/** By what a flow is known to have passed: protocols without an answer of their own by having come. */
export function evidenceOf(flow: Flow): "answer" | "arrival" {
  if (flow.evidence) return flow.evidence;
  switch (protocolNumber(flow.protocol)) {
    case PROTOCOL_NUMBERS.TCP:
    case PROTOCOL_NUMBERS.UDP:
      return "answer";
    case PROTOCOL_NUMBERS.ICMP:
    case PROTOCOL_NUMBERS.ICMPv6:
      return flow.icmp === undefined || ECHO_REQUESTS.includes(flow.icmp.type) ? "answer" : "arrival";
    default:
      return "arrival";
  }
}
