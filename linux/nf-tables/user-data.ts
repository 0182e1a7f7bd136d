/**
 * What the kernel keeps for user space and never reads: type, length, value, each a byte but the last (libnftnl's
 * udata.h). Without it, nft could not print keys that stand in host order, and shows no comments.
 */

import { DATA_TYPES, type DataType, type NftSet } from "./model.ts";

const COMMENT = 0;

/** NFTNL_UDATA_SET_* */
const SetData = { KEY_BYTE_ORDER: 0, DATA_BYTE_ORDER: 1, KEY_TYPEOF: 3, DATA_INTERVAL: 6 } as const;
/** In KEY_TYPEOF: that the key is a concatenation (nft's EXPR_CONCAT), with nothing to add. */
const TYPEOF_CONCATENATION = "00040d0000000100";

export function commentData(comment: string): Uint8Array {
  const text = Buffer.from(comment, "utf8");
  if (text.length > 253) throw new RangeError(`a comment of ${text.length} bytes, at most 253: ${comment}`);
  return Buffer.concat([Buffer.from([COMMENT, text.length + 1]), text, Buffer.from([0])]);
}

/** Undefined where there is none. */
export function readComment(bytes: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= bytes.length; at += 2 + (bytes[at + 1] as number)) {
    if (bytes[at] !== COMMENT) continue;
    const text = bytes.subarray(at + 2, at + 2 + (bytes[at + 1] as number));
    return Buffer.from(text).toString("utf8").replace(/\0.*$/s, "");
  }
  return undefined;
}

export function setUserData({ key, data }: NftSet): Uint8Array {
  const parts = [field(SetData.KEY_BYTE_ORDER, u32(key.length === 1 ? byteOrder(key[0] as DataType) : 0))];
  if (data !== undefined) {
    parts.push(field(SetData.DATA_BYTE_ORDER, u32(data === "verdict" ? 0 : byteOrder(data))));
  }
  if (key.length > 1) parts.push(field(SetData.KEY_TYPEOF, Buffer.from(TYPEOF_CONCATENATION, "hex")));
  if (data !== undefined) parts.push(field(SetData.DATA_INTERVAL, u32(0)));
  return Buffer.concat(parts);
}

const byteOrder = (type: DataType): number => DATA_TYPES[type].byteOrder;

function field(type: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([type, value.length]), value]);
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
