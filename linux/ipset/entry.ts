/**
 * Elements of sets: as text, the parts of a type's name joined by commas (`10.0.0.0/8`, `10.0.0.1,tcp:80`), and as
 * attributes. Text as the `ipset` program prints it, addresses in the form of net/ip.ts.
 */

import { bytesToIp, ip, ipToBytes } from "../../net/ip.ts";
import type { AttributeReader, MessageWriter } from "../netlink/message.ts";
import { AddressAttribute, EntryAttribute, NET_BYTEORDER } from "./constants.ts";

/** What an element is made of. */
export interface ElementType {
  /** `net`: with a prefix length. */
  readonly address: "ip" | "net";
  /** With a protocol and port after it. */
  readonly port: boolean;
}

const TYPES: Readonly<Record<string, ElementType>> = {
  "hash:ip": { address: "ip", port: false },
  "hash:net": { address: "net", port: false },
  "hash:ip,port": { address: "ip", port: true },
  "hash:net,port": { address: "net", port: true },
};

/** @throws RangeError where it is none of those that we use */
export function elementType(type: string): ElementType {
  const known = TYPES[type];
  if (known === undefined) throw new RangeError(`one of ${Object.keys(TYPES)} was expected, not ${type}`);
  return known;
}

/** IANA's numbers of the protocols that ipset writes by name. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  "ipv6-icmp": 58,
  sctp: 132,
  udplite: 136,
};
const PROTOCOL_NAMES = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));
/** Of these, the port is the message's type and code. */
const ICMP: readonly number[] = [1, 58];

/** @throws RangeError where the text is no element of the type, AddressError where it has no address */
export function writeEntry(writer: MessageWriter, type: ElementType, element: string): void {
  const comma = element.indexOf(",");
  if (comma >= 0 !== type.port) throw new RangeError(`"${element}" is not an element of such a set`);
  writeAddress(writer, type, comma < 0 ? element : element.slice(0, comma));
  if (comma >= 0) writePort(writer, element.slice(comma + 1));
}

function writeAddress(writer: MessageWriter, type: ElementType, text: string): void {
  const slash = text.indexOf("/");
  const bytes = ipToBytes(ip(slash < 0 ? text : text.slice(0, slash)));
  const nest = writer.nest(EntryAttribute.IP);
  const family = bytes.length === 4 ? AddressAttribute.IPV4 : AddressAttribute.IPV6;
  writer.attribute(family | NET_BYTEORDER, bytes);
  writer.endNest(nest);
  if (type.address === "ip") {
    if (slash >= 0) throw new RangeError(`${text}: an address was expected`);
    return;
  }
  const length = slash < 0 ? bytes.length * 8 : Number(text.slice(slash + 1));
  if (!(length > 0 && length <= bytes.length * 8))
    throw new RangeError(`${text}: a prefix of at least one bit was expected`);
  writer.attributeU8(EntryAttribute.CIDR, length);
}

function writePort(writer: MessageWriter, text: string): void {
  const [, name = "", value = "", code] = /^([^:]+):(\d+)(?:\/(\d+))?$/.exec(text) ?? [];
  const protocol = PROTOCOLS[name] ?? Number(name || Number.NaN);
  const port = code === undefined ? Number(value) : Number(value) * 256 + Number(code);
  if (!(protocol >= 0 && protocol < 256 && value !== "" && port < 65536))
    throw new RangeError(`${text}: a protocol and a port, such as tcp:80, were expected`);
  writer.attributeU16BigEndian(EntryAttribute.PORT | NET_BYTEORDER, port);
  writer.attributeU8(EntryAttribute.PROTO, protocol);
}

/** The attributes of one entry. */
export function readEntry(attributes: AttributeReader, type: ElementType): string {
  let address = "";
  let length: number | undefined;
  let port = 0;
  let protocol = 0;
  while (attributes.next()) {
    if (attributes.type === EntryAttribute.IP) address = readAddress(attributes.nested());
    else if (attributes.type === EntryAttribute.CIDR) length = attributes.u8();
    else if (attributes.type === EntryAttribute.PORT) port = attributes.u16BigEndian();
    else if (attributes.type === EntryAttribute.PROTO) protocol = attributes.u8();
  }
  const whole = length === undefined || length === (address.includes(":") ? 128 : 32);
  const net = whole ? address : `${address}/${length}`;
  if (!type.port) return net;
  const name = PROTOCOL_NAMES.get(protocol) ?? protocol;
  return `${net},${name}:${ICMP.includes(protocol) ? `${port >> 8}/${port & 255}` : port}`;
}

function readAddress(attributes: AttributeReader): string {
  return attributes.next() ? bytesToIp(attributes.bytes()) : "";
}
