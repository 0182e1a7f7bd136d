/**
 * When an UPDATE must cost the session, and when it must not (RFC 4271 6.3, 7606): told from the bytes alone, and written
 * without a look at the codec, which is judged by it.
 */

export type SessionVerdict = "reset" | "lives" | "either";

/** The attributes this library knows, by type. */
const KNOWN = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32]);
const MP_REACH = 14;
const MP_UNREACH = 15;

export function sessionVerdict(body: Uint8Array): SessionVerdict {
  if (body.length < 4) return "reset";
  const u16 = (at: number) => (body[at]! << 8) | body[at + 1]!;
  const withdrawnEnd = 2 + u16(0);
  if (withdrawnEnd + 2 > body.length) return "reset";
  const listStart = withdrawnEnd + 2;
  const listEnd = listStart + u16(withdrawnEnd);
  if (listEnd > body.length) return "reset";
  // 5.3: NLRI and Withdrawn Routes that cannot be read.
  if (!isNlri(body.subarray(2, withdrawnEnd)) || !isNlri(body.subarray(listEnd))) return "reset";

  const seen = new Set<number>();
  for (let at = listStart; at < listEnd; ) {
    const flags = body[at]!;
    const header = flags & 0x10 ? 4 : 3;
    // 4: an attribute that does not fit ends the list.
    if (at + header > listEnd) break;
    const type = body[at + 1]!;
    const length = header === 4 ? u16(at + 2) : body[at + 2]!;
    const start = at + header;
    if (start + length > listEnd) break;
    at = start + length;
    if (seen.has(type)) {
      if (type === MP_REACH || type === MP_UNREACH) return "reset"; // 3.g
      continue;
    }
    seen.add(type);
    if (!KNOWN.has(type) && (flags & 0x80) === 0) return "reset"; // RFC 4271 6.3: unrecognized well-known
    // 7.11, 7.12: not even the family can be read.
    if (type === MP_REACH && length < 5) return "reset";
    if (type === MP_UNREACH && length < 3) return "reset";
  }
  // 5.2: whether an attribute is wrong decides, where no route is there to be withdrawn.
  const hasReachability = listEnd < body.length || seen.has(MP_REACH);
  return hasReachability || listEnd === listStart ? "lives" : "either";
}

function isNlri(field: Uint8Array): boolean {
  let at = 0;
  while (at < field.length) {
    if (field[at]! > 32) return false;
    at += 1 + Math.ceil(field[at]! / 8);
  }
  return at === field.length;
}
