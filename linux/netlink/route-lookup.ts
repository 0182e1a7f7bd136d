/** The kernel's own answer to where packets go: RTM_GETROUTE with a destination, as `ip route get` asks. */

import { addressBits, type Ip, ipToBytes, ipVersion } from "../../net/ip.ts";
import { familyOfAddress } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";
import { RouteMessageType } from "./route.ts";

const RTM_GETROUTE = 26;
const Attribute = { DST: 1, OIF: 4 } as const;

export function writeLookup(writer: MessageWriter, destination: Ip): void {
  writer.begin(RTM_GETROUTE, Flag.REQUEST);
  writer.u8(familyOfAddress(destination)); // struct rtmsg
  writer.u8(addressBits(ipVersion(destination)));
  writer.u16(0);
  writer.u32(0);
  writer.u32(0);
  writer.attribute(Attribute.DST, ipToBytes(destination));
  writer.end();
}

/** The interface's index. */
export function readLookup(message: Message): number | undefined {
  if (message.type !== RouteMessageType.NEW) return undefined;
  const attributes = new AttributeReader(message.view, message.offset + 12, message.end);
  while (attributes.next()) if (attributes.type === Attribute.OIF) return attributes.u32();
  return undefined;
}
