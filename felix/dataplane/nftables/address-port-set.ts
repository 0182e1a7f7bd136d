/** Named ports and services: `address . protocol . port`, from `10.0.0.1,tcp:80`. */

import { parseProtocol, protocolNumber } from "../../../crd-schemas/index.ts";
import { addressData, concatenation, u8, u16 } from "../../../linux/nf-tables/data.ts";
import type { Element } from "../../../linux/nf-tables/model.ts";
import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { SetMember } from "../../calc/changes.ts";
import { ElementSet } from "./kept-set.ts";

export function addressPortSet(name: string, version: IpVersion): ElementSet {
  const address = version === 4 ? "ipv4_addr" : "ipv6_addr";
  return new ElementSet({ name, key: [address, "inet_proto", "inet_service"] });
}

/** Of those members that are of the IP version. */
export function addressPortElements(members: Iterable<SetMember>, version: IpVersion): Element[] {
  const elements: Element[] = [];
  for (const member of members) {
    const [address, protocol, port] = /^(.*),([^,:]+):(\d+)$/.exec(member)?.slice(1) ?? [];
    const number = protocol === undefined ? undefined : parseProtocol(protocol);
    if (address === undefined || number === undefined)
      throw new Error(`"${member}" is no address,protocol:port`);
    if (address.includes(":") !== (version === 6)) continue;
    const key = concatenation(addressData(address as Ip), u8(protocolNumber(number)), u16(Number(port)));
    elements.push({ key });
  }
  return elements;
}
