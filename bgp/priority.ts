/**
 * The one rule that ties kernel metrics to LOCAL_PREF (calico.md 0.3): `local_pref = 2147483647 - metric`. A lower
 * metric is a better route to the kernel, a higher LOCAL_PREF a better one to BGP; so a workload that is being
 * migrated in (metric 512) beats the block it came from (metric 1024) on every host of the mesh.
 */

import type { IpVersion } from "../net/ip.ts";

const MAX_LOCAL_PREF = 2_147_483_647;

/** Metric of an ordinary route where BGPConfiguration says nothing else. */
export const NORMAL_PRIORITY = 1024;

/** The configured one, per IP version. */
export type NormalPriority = (version: IpVersion) => number;

export function localPrefOf(metric: number | undefined): number {
  return MAX_LOCAL_PREF - (metric || NORMAL_PRIORITY);
}

/** The priority that a BGPFilter compares: what a Calico node said with this LOCAL_PREF. */
export function priorityOf(localPref: number | undefined): number {
  return localPref === undefined ? NORMAL_PRIORITY : MAX_LOCAL_PREF - localPref;
}

/**
 * The metric to install a learned route with. Only better-than-normal is taken over: what speaks plain BGP sends
 * LOCAL_PREF 100, which is no statement about metrics.
 */
export function metricOf(localPref: number | undefined, normal: number): number {
  const metric = MAX_LOCAL_PREF - (localPref ?? 0);
  return metric >= 1 && metric < normal ? metric : normal;
}
