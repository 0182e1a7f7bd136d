/** A limit on bandwidth in the kernel's terms. Pure. */

import type { TokenBucket } from "../../../linux/traffic-control.ts";
import type { QosLimits } from "../../calc/qos.ts";

const MAX_BURST_BYTES = 2 ** 32 - 1;
const ETHERNET_HEADER = 14;
/** How long a packet waits at most. */
const LATENCY_SECONDS = 0.025;
/**
 * TCP hands the kernel up to 64 KiB at once, and what does not fit into the queue as a whole is dropped: two of them, besides
 * what the latency allows. (Calico lets as much wait as may come in a burst: with its default half a gigabyte.)
 */
const WHOLE_SEGMENTS = 2 * 65_536;

/** Undefined: no limit. `mtu` of the interface: less than a packet in a bucket, and nothing passes at all. */
export function tokenBucket(limits: QosLimits, mtu: number): TokenBucket | undefined {
  const { bandwidth, burst = Number.POSITIVE_INFINITY, peakRate, minBurst } = limits;
  if (bandwidth === undefined) return undefined;
  const packet = mtu + ETHERNET_HEADER;
  const rate = Math.ceil(bandwidth / 8);
  const atOnce = (bytes: number) => Math.min(Math.max(Math.ceil(bytes), packet), MAX_BURST_BYTES);
  return {
    rate,
    burst: atOnce(burst / 8),
    limit: Math.min(Math.ceil(rate * LATENCY_SECONDS) + WHOLE_SEGMENTS, MAX_BURST_BYTES),
    // A peak that is none is refused by the kernel.
    ...(peakRate !== undefined &&
      peakRate > bandwidth && { peakRate: Math.ceil(peakRate / 8), peakBurst: atOnce(minBurst ?? packet) }),
  };
}

/** As far as the kernel says what is there. */
export function satisfies(
  actual: Pick<TokenBucket, "rate" | "limit" | "peakRate">,
  wanted: TokenBucket,
): boolean {
  return actual.rate === wanted.rate && actual.limit === wanted.limit && actual.peakRate === wanted.peakRate;
}
