/** How packets between a lab's hosts travel: what its pools say, and where its hosts stand. Pure. */

export const LAB_ENCAPSULATIONS = [
  "none",
  "vxlan",
  "vxlan-cross-subnet",
  "ipip",
  "ipip-cross-subnet",
] as const;
export type LabEncapsulation = (typeof LAB_ENCAPSULATIONS)[number];

/** Then hosts stand in two subnets by turns, so that both ways are taken. */
export function isCrossSubnet(encapsulation: LabEncapsulation | undefined): boolean {
  return encapsulation?.endsWith("-cross-subnet") ?? false;
}

/** For the environment of the first host, which makes the pools. */
export function poolVariables(encapsulation: LabEncapsulation | undefined): Record<string, string> {
  const mode = isCrossSubnet(encapsulation) ? "CrossSubnet" : "Always";
  if (encapsulation?.startsWith("vxlan")) return { CALICO_IPV4POOL_VXLAN: mode, CALICO_IPV6POOL_VXLAN: mode };
  if (encapsulation?.startsWith("ipip")) return { CALICO_IPV4POOL_IPIP: mode };
  return {};
}
