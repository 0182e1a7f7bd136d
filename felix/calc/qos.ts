/**
 * Limits on what a workload sends and receives (calico.md 2.9). Bandwidth is shaped by queueing disciplines on its
 * interface; rates and connections are counted by the packet filter, which also writes the DSCP.
 */

import { dscpNumber, type QoSControls } from "../../crd-schemas/index.ts";

/** Of one direction. Absent: unlimited. */
export interface QosLimits {
  /** Bits per second. */
  readonly bandwidth?: number;
  /** Bits. */
  readonly burst?: number;
  /** Bits per second, at most, however many tokens there are. */
  readonly peakRate?: number;
  /** Bytes that may go at the peak rate at once. */
  readonly minBurst?: number;
  /** Packets per second. */
  readonly packetRate?: number;
  /** Packets. */
  readonly packetBurst?: number;
  /** Connections at once. */
  readonly maxConnections?: number;
}

export interface QosControls {
  /** To the workload. */
  readonly ingress: QosLimits;
  /** From the workload. */
  readonly egress: QosLimits;
  /** Written into what leaves the cluster from here: 0 to 63. */
  readonly dscp?: number;
}

/** Calico's, where a rate is given without them (calico.md 2.9). */
const DEFAULT_BURST = 4 * 2 ** 30;
const DEFAULT_PACKET_BURST = 5;

/** Undefined where nothing is limited. What a limit may be, its schema says. */
export function qosControls(spec: QoSControls | undefined): QosControls | undefined {
  if (!spec) return undefined;
  const ingress = limits({
    bandwidth: spec.ingressBandwidth,
    burst: spec.ingressBurst,
    peakRate: spec.ingressPeakrate,
    minBurst: spec.ingressMinburst,
    packetRate: spec.ingressPacketRate,
    packetBurst: spec.ingressPacketBurst,
    maxConnections: spec.ingressMaxConnections,
  });
  const egress = limits({
    bandwidth: spec.egressBandwidth,
    burst: spec.egressBurst,
    peakRate: spec.egressPeakrate,
    minBurst: spec.egressMinburst,
    packetRate: spec.egressPacketRate,
    packetBurst: spec.egressPacketBurst,
    maxConnections: spec.egressMaxConnections,
  });
  const dscp = spec.dscp === undefined ? undefined : dscpNumber(spec.dscp);
  if (Object.keys({ ...ingress, ...egress }).length === 0 && dscp === undefined) return undefined;
  return { ingress, egress, ...(dscp !== undefined && { dscp }) };
}

/** Bursts and peaks shape a rate; without it they say nothing. */
function limits(given: { readonly [Name in keyof QosLimits]: QosLimits[Name] | undefined }): QosLimits {
  const { bandwidth, burst, peakRate, minBurst, packetRate, packetBurst, maxConnections } = given;
  return {
    ...(bandwidth !== undefined && { bandwidth, burst: burst ?? DEFAULT_BURST }),
    ...(bandwidth !== undefined && peakRate !== undefined && { peakRate }),
    ...(bandwidth !== undefined && minBurst !== undefined && { minBurst }),
    ...(packetRate !== undefined && { packetRate, packetBurst: packetBurst ?? DEFAULT_PACKET_BURST }),
    ...(maxConnections !== undefined && { maxConnections }),
  };
}
