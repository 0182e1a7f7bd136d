/**
 * A tunnel device has one address of its own and no other. The new one comes before the old one goes: with the last IPv4
 * address of a link the kernel takes away its routes, and says nothing.
 */

import { isNetlinkError, type Rtnetlink } from "../../../linux/rtnetlink.ts";
import { addressBits, type Ip, ipVersion } from "../../../net/ip.ts";
import type { HostLinks } from "./host-links.ts";

/** Undefined: none at all. Link-local ones are the kernel's and stay. @throws NetlinkError */
export function setOnlyAddress(
  rtnetlink: Pick<Rtnetlink, "addAddress" | "deleteAddress">,
  links: HostLinks,
  interfaceIndex: number,
  ip: Ip | undefined,
): void {
  const wanted = ip && { interfaceIndex, ip, prefixLength: addressBits(ipVersion(ip)) };
  const others = [...links.addressesOf(interfaceIndex)].filter(
    address => address.ip !== wanted?.ip || address.prefixLength !== wanted.prefixLength,
  );
  if (wanted && others.length === [...links.addressesOf(interfaceIndex)].length) {
    const address = { ...wanted, ...(ipVersion(wanted.ip) === 6 && { noDad: true }) };
    try {
      rtnetlink.addAddress(address);
    } catch (error) {
      if (!isNetlinkError(error, "EEXIST")) throw error;
    }
    links.noteEvent({ type: "address", action: "new", address });
  }
  for (const address of others) {
    if (address.scope === "link") continue;
    rtnetlink.deleteAddress(address);
    links.noteEvent({ type: "address", action: "delete", address });
  }
}
