/**
 * AS_PATH (RFC 4271 4.3, RFC 5065 segments), in 2- and 4-byte form, and how the two are told to old neighbors and put
 * together again (RFC 6793).
 */

import { readUint16, readUint32 } from "../address.ts";
import type { AsPathSegment, AsSegmentType } from "../route.ts";
import { AS_TRANS } from "./constants.ts";
import type { Writer } from "./writer.ts";

const SEGMENT_TYPES: readonly (AsSegmentType | undefined)[] = [
  undefined,
  "set",
  "sequence",
  "confed-sequence",
  "confed-set",
];
const MAX_SEGMENT = 255;

/** Undefined where it is malformed: unknown type, empty segment, overrun (RFC 7606 7.2). */
export function decodeAsPath(bytes: Uint8Array, fourOctetAs: boolean): AsPathSegment[] | undefined {
  const width = fourOctetAs ? 4 : 2;
  const path: AsPathSegment[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const type = SEGMENT_TYPES[bytes[offset]!];
    const count = bytes[offset + 1];
    if (type === undefined || !count || offset + 2 + count * width > bytes.length) return undefined;
    const asns: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = offset + 2 + i * width;
      asns.push(fourOctetAs ? readUint32(bytes, at) : readUint16(bytes, at));
    }
    path.push({ type, asns });
    offset += 2 + count * width;
  }
  return path;
}

export function encodeAsPath(writer: Writer, path: readonly AsPathSegment[], fourOctetAs: boolean): void {
  for (const { type, asns } of path) {
    for (let start = 0; start < asns.length; start += MAX_SEGMENT) {
      const part = asns.slice(start, start + MAX_SEGMENT);
      writer.u8(SEGMENT_TYPES.indexOf(type)).u8(part.length);
      for (const asn of part) {
        if (fourOctetAs) writer.u32(asn);
        else writer.u16(asn > 0xffff ? AS_TRANS : asn);
      }
    }
  }
}

/** Length for the decision process: a set counts as one, confederation segments not at all (RFC 4271 9.1.2.2, 5065 5.3). */
export function asPathLength(path: readonly AsPathSegment[]): number {
  let length = 0;
  for (const { type, asns } of path) {
    if (type === "sequence") length += asns.length;
    else if (type === "set") length += 1;
  }
  return length;
}

/** How often `asn` appears. */
export function countInAsPath(path: readonly AsPathSegment[], asn: number): number {
  let count = 0;
  for (const { asns } of path) for (const other of asns) if (other === asn) count++;
  return count;
}

/** The AS the route came in from: the first of a leading sequence; 0 where there is none. */
export function neighborAs(path: readonly AsPathSegment[]): number {
  const first = path[0];
  return first?.type === "sequence" ? first.asns[0]! : 0;
}

export function prependAs(path: readonly AsPathSegment[], asn: number): AsPathSegment[] {
  return prependAll(path, [asn]);
}

/** The first of `asns` in front. */
export function prependAll(path: readonly AsPathSegment[], asns: readonly number[]): AsPathSegment[] {
  const [first, ...rest] = path;
  if (first?.type === "sequence") return [{ type: "sequence", asns: [...asns, ...first.asns] }, ...rest];
  return [{ type: "sequence", asns }, ...path];
}

export function needsAs4Path(path: readonly AsPathSegment[]): boolean {
  return path.some(({ asns }) => asns.some(asn => asn > 0xffff));
}

export function withoutConfederation(path: readonly AsPathSegment[]): AsPathSegment[] {
  return path.filter(({ type }) => type === "sequence" || type === "set");
}

/** RFC 6793 4.2.3: the leading ASes the old speakers added, then AS4_PATH. */
export function mergeAs4Path(path: readonly AsPathSegment[], as4: readonly AsPathSegment[]): AsPathSegment[] {
  const real = withoutConfederation(as4);
  let keep = asPathLength(path) - asPathLength(real);
  if (keep < 0) return [...path];
  const merged: AsPathSegment[] = [];
  for (const segment of path) {
    if (segment.type === "sequence") {
      if (keep === 0) break;
      merged.push({ type: "sequence", asns: segment.asns.slice(0, keep) });
      keep -= Math.min(keep, segment.asns.length);
    } else if (segment.type === "set") {
      if (keep === 0) break;
      merged.push(segment);
      keep -= 1;
    } else merged.push(segment);
  }
  const last = merged.at(-1);
  const [first, ...rest] = real;
  if (last?.type === "sequence" && first?.type === "sequence") {
    return [...merged.slice(0, -1), { type: "sequence", asns: [...last.asns, ...first.asns] }, ...rest];
  }
  return [...merged, ...real];
}
