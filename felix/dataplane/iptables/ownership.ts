/** By what the packet filter knows its own things in the kernel: Calico's names, and those it had before (calico.md 3.3). */

import type { TableName } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";

/** In the order they are committed. */
export const TABLES = ["raw", "mangle", "nat", "filter"] as const satisfies readonly TableName[];

export const OWNERSHIP = {
  chainPrefix: "cali-",
  hashPrefix: "cali:",
  /** Chains of former times, and what leads to them, are swept. */
  formerPrefixes: ["felix-", "cali"],
} as const;

export const setOwnership = (version: IpVersion) => ({
  prefix: `cali${version}0`,
  tempPrefix: `cali${version}t`,
});
