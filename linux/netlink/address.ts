/** Addresses of interfaces as RTM_NEWADDR messages: linux/if_addr.h, struct ifaddrmsg. */

import { type Ip, type IpVersion, ipToBytes, ipVersion } from "../../net/ip.ts";
import { familyOf, familyOfAddress, readIp } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

export interface LinkAddress {
  readonly interfaceIndex: number;
  readonly ip: Ip;
  readonly prefixLength: number;
  /** Default `global`. */
  readonly scope?: AddressScope;
  /** The far end of a point-to-point link, whose route the kernel then makes instead of the subnet's. */
  readonly peer?: Ip;
  /** The kernel makes no route for the subnet. */
  readonly noPrefixRoute?: boolean;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDad?: boolean;
  /** IPv6, read only: duplicate address detection is not through, or has found a duplicate. */
  readonly tentative?: boolean;
}

/** RT_SCOPE_* */
const SCOPES = { global: 0, site: 200, link: 253, host: 254 } as const;
export type AddressScope = keyof typeof SCOPES;

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const AddressMessageType = { NEW: RTM_NEWADDR, DELETE: RTM_DELADDR } as const;

const Attribute = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;
const AddressFlag = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, NOPREFIXROUTE: 0x200 } as const;

export function writeGetAddresses(writer: MessageWriter, version: IpVersion, interfaceIndex = 0): void {
  writer.begin(RTM_GETADDR, Flag.REQUEST | Flag.DUMP);
  writer.u32(familyOf(version));
  writer.u32(interfaceIndex);
  writer.end();
}

/** `REPLACE` changes the flags of an address that is there; without it that is EEXIST. */
export function writeAddAddress(writer: MessageWriter, address: LinkAddress, replace: boolean): void {
  writer.begin(RTM_NEWADDR, Flag.REQUEST | Flag.CREATE | (replace ? Flag.REPLACE : Flag.EXCL));
  writeAddress(writer, address);
  const flags =
    (address.noPrefixRoute ? AddressFlag.NOPREFIXROUTE : 0) | (address.noDad ? AddressFlag.NODAD : 0);
  if (flags !== 0) writer.attributeU32(Attribute.FLAGS, flags);
  writer.end();
}

export function writeDeleteAddress(writer: MessageWriter, address: LinkAddress): void {
  writer.begin(RTM_DELADDR, Flag.REQUEST);
  writeAddress(writer, address);
  writer.end();
}

export function readAddress(message: Message): LinkAddress | undefined {
  if (message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) return undefined;
  const { view, offset, end } = message;
  if (end - offset < 8) return undefined;
  let flags = view.getUint8(offset + 2);
  let local: Ip | undefined;
  let address: Ip | undefined;
  const attributes = new AttributeReader(view, offset + 8, end);
  while (attributes.next()) {
    if (attributes.type === Attribute.LOCAL) local = readIp(attributes.bytes());
    else if (attributes.type === Attribute.ADDRESS) address = readIp(attributes.bytes());
    else if (attributes.type === Attribute.FLAGS) flags = attributes.u32();
  }
  // IFA_ADDRESS is the far end where IFA_LOCAL is there too; IPv6 sends it alone.
  const ip = local ?? address;
  if (ip === undefined) return undefined;
  return {
    interfaceIndex: view.getUint32(offset + 4, true),
    ip,
    prefixLength: view.getUint8(offset + 1),
    scope: scopeOf(view.getUint8(offset + 3)),
    ...(address !== undefined && address !== ip ? { peer: address } : {}),
    ...(flags & AddressFlag.NOPREFIXROUTE ? { noPrefixRoute: true } : {}),
    ...(flags & AddressFlag.NODAD ? { noDad: true } : {}),
    ...(flags & (AddressFlag.TENTATIVE | AddressFlag.DADFAILED) ? { tentative: true } : {}),
  };
}

function writeAddress(writer: MessageWriter, address: LinkAddress): void {
  writer.u8(familyOfAddress(address.ip));
  writer.u8(address.prefixLength);
  writer.u8(0); // The flags go into an attribute of their own: eight bits have become too few.
  writer.u8(SCOPES[address.scope ?? "global"]);
  writer.u32(address.interfaceIndex);
  writer.attribute(Attribute.LOCAL, ipToBytes(address.ip));
  // IPv4 takes the subnet from it; IPv6 takes it for a far end if it differs.
  if (ipVersion(address.ip) === 4 || address.peer !== undefined) {
    writer.attribute(Attribute.ADDRESS, ipToBytes(address.peer ?? address.ip));
  }
}

function scopeOf(number: number): AddressScope {
  for (const [name, value] of Object.entries(SCOPES)) if (value === number) return name as AddressScope;
  return "global";
}
