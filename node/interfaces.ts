/** What the kernel says about this host's interfaces and ways out, as {@link startNode} wants to know it. */

import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import type { Rtnetlink } from "../linux/rtnetlink.ts";
import { type Ip, type IpVersion, parseIp } from "../net/ip.ts";
import type { HostInterface } from "./autodetect.ts";

/** Addresses that the kernel has not accepted yet (duplicate address detection) are left out. */
export function hostInterfaces(kernel: Pick<Rtnetlink, "listLinks" | "listAddresses">): HostInterface[] {
  const addresses = Map.groupBy(
    kernel.listAddresses().filter(({ tentative }) => !tentative),
    ({ interfaceIndex }) => interfaceIndex,
  );
  return kernel.listLinks().map(({ index, name, up }) => ({
    name,
    up,
    addresses: (addresses.get(index) ?? []).map(({ ip, prefixLength }) => ({ ip, prefixLength })),
  }));
}

/** The address the kernel would send from. Connecting a datagram socket looks the route up and sends nothing. */
export async function sourceTowards(destination: string, version: IpVersion): Promise<Ip | undefined> {
  const target =
    parseIp(destination) ?? (await lookup(destination, { family: version }).catch(() => undefined))?.address;
  if (target === undefined) return undefined;
  const socket = createSocket(version === 4 ? "udp4" : "udp6");
  try {
    return await new Promise<Ip | undefined>(resolve => {
      socket.once("error", () => resolve(undefined));
      socket.connect(53, target, () => resolve(parseIp(socket.address().address)));
    });
  } finally {
    socket.close();
  }
}
