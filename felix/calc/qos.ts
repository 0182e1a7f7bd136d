/**
 * Limits on what a workload sends and receives (calico.md 2.9). Bandwidth is shaped by queueing disciplines on its
 * interface; rates and connections are counted by the packet filter, which also writes the DSCP.
 */

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
