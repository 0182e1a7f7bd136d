/**
 * UPDATEs and attribute lists read the plain way, for sound IPv4 input only: the model that the codec is held to where real routes are
 * read. It shares no code with it. Attributes become one line of text, so that they can be compared and shown.
 */

import type { PathAttributes } from "../../route.ts";

export interface NaiveUpdate {
  readonly withdrawn: readonly string[];
  readonly announced: readonly string[];
  readonly attributes: string;
}

/** A whole message, header included. */
export function naiveUpdate(message: Uint8Array, asWidth: 2 | 4): NaiveUpdate {
  const view = Buffer.from(message).subarray(19);
  const withdrawnLength = view.readUInt16BE(0);
  const attributesAt = 4 + withdrawnLength;
  const attributesEnd = attributesAt + view.readUInt16BE(2 + withdrawnLength);
  return {
    withdrawn: prefixes(view.subarray(2, 2 + withdrawnLength)),
    announced: prefixes(view.subarray(attributesEnd)),
    attributes: naiveAttributes(view.subarray(attributesAt, attributesEnd), asWidth),
  };
}

function prefixes(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at]!;
    const used = Math.ceil(length / 8);
    const octets = [...bytes.subarray(at + 1, at + 1 + used), 0, 0, 0, 0].slice(0, 4);
    found.push(`${octets.join(".")}/${length}`);
    at += 1 + used;
  }
  return found;
}

const ORIGINS = ["igp", "egp", "incomplete"];

export function naiveAttributes(list: Uint8Array, asWidth: 2 | 4): string {
  const bytes = Buffer.from(list);
  const found = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const flags = bytes[at]!;
    const type = bytes[at + 1]!;
    const isLong = (flags & 0x10) !== 0;
    const length = isLong ? bytes.readUInt16BE(at + 2) : bytes[at + 2]!;
    const start = at + (isLong ? 4 : 3);
    const value = bytes.subarray(start, start + length);
    at = start + length;
    const words = () => [...groups(value, 4)].map(four => four.readUInt32BE());
    if (type === 1) found.set("origin", ORIGINS[value[0]!]!);
    else if (type === 2) found.set("path", path(value, asWidth));
    else if (type === 3) found.set("next hop", [...value].join("."));
    else if (type === 4) found.set("med", String(words()[0]));
    else if (type === 5) found.set("preference", String(words()[0]));
    else if (type === 6) found.set("atomic", "yes");
    else if (type === 7) {
      const asn = value.readUIntBE(0, asWidth);
      // RFC 7607: such an attribute is dropped.
      if (asn !== 0) found.set("aggregator", `${asn} ${[...value.subarray(asWidth)].join(".")}`);
    } else if (type === 8)
      found.set(
        "communities",
        words()
          .map(word => `${word >>> 16}:${word & 0xffff}`)
          .join(" "),
      );
    else if (type === 9) found.set("originator", [...value].join("."));
    else if (type === 10)
      found.set("clusters", [...groups(value, 4)].map(four => [...four].join(".")).join(" "));
    else if (type === 16)
      found.set("extended", [...groups(value, 8)].map(eight => eight.toString("hex")).join(" "));
    else if (flags & 0x40) found.set(`type ${type}`, `${(flags | 0x20) & ~0x10} ${value.toString("hex")}`);
  }
  return line(found);
}

/** The same line for attributes that the library has read. */
export function attributeLine(attributes: PathAttributes): string {
  const found = new Map<string, string>();
  const put = (name: string, value: string | number | undefined) => {
    if (value !== undefined) found.set(name, String(value));
  };
  const { aggregator } = attributes;
  put("origin", attributes.origin);
  put(
    "path",
    attributes.asPath
      .map(({ type, asns }) => (type === "sequence" ? asns.join(" ") : `${type}{${asns.join(" ")}}`))
      .join(" "),
  );
  put("next hop", attributes.nextHop);
  put("med", attributes.med);
  put("preference", attributes.localPref);
  put("atomic", attributes.atomicAggregate ? "yes" : undefined);
  put("aggregator", aggregator && `${aggregator.asn} ${aggregator.address}`);
  put("communities", attributes.communities?.join(" "));
  put("originator", attributes.originatorId);
  put("clusters", attributes.clusterList?.join(" "));
  put("extended", attributes.extendedCommunities?.join(" "));
  for (const { type, flags, value } of attributes.unknown ?? [])
    put(`type ${type}`, `${flags | 0x20} ${value}`);
  return line(found);
}

function path(value: Buffer, asWidth: 2 | 4): string {
  const segments: string[] = [];
  for (let at = 0; at < value.length; ) {
    const end = at + 2 + value[at + 1]! * asWidth;
    const asns = [...groups(value.subarray(at + 2, end), asWidth)].map(one => one.readUIntBE(0, asWidth));
    segments.push(value[at] === 2 ? asns.join(" ") : `set{${asns.join(" ")}}`);
    at = end;
  }
  return segments.join(" ");
}

function* groups(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function line(found: ReadonlyMap<string, string>): string {
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${value}`)
    .join("; ");
}
