/**
 * What a rule is made of: expressions, run one after the other over a few registers (linux/netfilter/nf_tables.h).
 *
 * Most load something into a register or compare one; the first comparison that fails ends the rule. Plain values, so
 * that two rules can be compared, printed and written into a test. The constructors below fill in what is usual, and
 * a rule read back from the kernel is made of equal values.
 *
 * Registers: 0 holds the verdict, 1 to 4 have 16 bytes each; 9, 10, 11 are the second, third and fourth four bytes of
 * register 1, which is how keys of several fields are put together.
 */

/** Bytes in a register, as lower-case hex: network order for what packets hold, host order for marks and flags. */
export type Data = string;

export type Register = number;

/** What happens to the packet; `jump` comes back at the end of the chain, `goto` does not. */
export type Verdict =
  | "accept"
  | "drop"
  | "continue"
  | "return"
  | { readonly jump: string }
  | { readonly goto: string };

/** NFT_META_* */
export const META_KEYS = {
  len: 0,
  protocol: 1,
  priority: 2,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  iiftype: 8,
  oiftype: 9,
  skuid: 10,
  skgid: 11,
  nftrace: 12,
  nfproto: 15,
  l4proto: 16,
  pkttype: 19,
} as const;
export type MetaKey = keyof typeof META_KEYS;

/** NFT_CT_* */
export const CT_KEYS = {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  protocol: 10,
  "proto-src": 11,
  "proto-dst": 12,
  zone: 17,
  "src-ip": 19,
  "dst-ip": 20,
  "src-ip6": 21,
  "dst-ip6": 22,
} as const;
export type CtKey = keyof typeof CT_KEYS;

/** IP_CT_DIR_* */
export const CT_DIRECTIONS = { original: 0, reply: 1 } as const;

/** NFT_CMP_* */
export const COMPARISONS = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;
export type Comparison = keyof typeof COMPARISONS;

/** NFT_PAYLOAD_*_HEADER */
export const PAYLOAD_BASES = { link: 0, network: 1, transport: 2 } as const;
export type PayloadBase = keyof typeof PAYLOAD_BASES;

/** NFT_REJECT_* */
export const REJECT_TYPES = { icmp: 0, "tcp-reset": 1, icmpx: 2 } as const;

/** NFT_NAT_* */
export const NAT_TYPES = { snat: 0, dnat: 1 } as const;

/** NF_NAT_RANGE_*, those that do not follow from the rest. */
export const NatFlag = { PROTO_RANDOM: 4, PERSISTENT: 8, PROTO_RANDOM_FULLY: 16 } as const;

/** NFT_FIB_RESULT_* */
export const FIB_RESULTS = { oif: 1, oifname: 2, addrtype: 3 } as const;

/** NFTA_FIB_F_* */
export const FibFlag = { SADDR: 1, DADDR: 2, MARK: 4, IIF: 8, OIF: 16, PRESENT: 32 } as const;

/** A register or nothing, for the ends of a range of addresses or ports. */
interface NatRange {
  readonly addressMin?: Register;
  readonly addressMax?: Register;
  readonly portMin?: Register;
  readonly portMax?: Register;
  /** {@link NatFlag}s */
  readonly flags: number;
}

export type Expression =
  | { readonly kind: "meta"; readonly key: MetaKey; readonly to: Register }
  | { readonly kind: "meta-set"; readonly key: MetaKey; readonly from: Register }
  | { readonly kind: "cmp"; readonly op: Comparison; readonly register: Register; readonly data: Data }
  | {
      readonly kind: "range";
      readonly op: "eq" | "neq";
      readonly register: Register;
      readonly low: Data;
      readonly high: Data;
    }
  | {
      readonly kind: "payload";
      readonly base: PayloadBase;
      readonly offset: number;
      readonly length: number;
      readonly to: Register;
    }
  | {
      readonly kind: "payload-set";
      readonly base: PayloadBase;
      readonly offset: number;
      readonly length: number;
      readonly from: Register;
      /** Where the Internet checksum over it stands, counted from the base; undefined: none does. */
      readonly checksumOffset?: number;
    }
  | {
      readonly kind: "ct";
      readonly key: CtKey;
      readonly direction?: keyof typeof CT_DIRECTIONS;
      readonly to: Register;
    }
  | { readonly kind: "ct-set"; readonly key: CtKey; readonly from: Register }
  | {
      /** to = (from & mask) ^ xor */
      readonly kind: "bitwise";
      readonly from: Register;
      readonly to: Register;
      readonly mask: Data;
      readonly xor: Data;
    }
  | {
      /** Matches where the register's value is in the set; of a map, `to` gets its value (0: a verdict). */
      readonly kind: "lookup";
      readonly set: string;
      readonly from: Register;
      readonly to?: Register;
      readonly invert: boolean;
    }
  | { readonly kind: "counter"; readonly packets: bigint; readonly bytes: bigint }
  | { readonly kind: "immediate"; readonly to: Register; readonly data: Data }
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  | {
      /** Matches up to `rate` per `seconds`, or with `over` what is beyond. */
      readonly kind: "limit";
      readonly per: "packets" | "bytes";
      readonly rate: bigint;
      readonly seconds: bigint;
      readonly burst: number;
      readonly over: boolean;
    }
  | {
      /** Matches while no more than `count` connections have come to this rule, or with `over` beyond that. */
      readonly kind: "connlimit";
      readonly count: number;
      readonly over: boolean;
    }
  | {
      /** To the kernel's log, or with `group` to whoever is bound to that NFLOG group (nflog.ts). */
      readonly kind: "log";
      readonly prefix?: string;
      readonly group?: number;
      /** Of each packet this many bytes; for a group. */
      readonly snaplen?: number;
      /** syslog's: 5 is notice; without a group. */
      readonly level?: number;
    }
  | { readonly kind: "reject"; readonly type: keyof typeof REJECT_TYPES; readonly code: number }
  | ({
      readonly kind: "nat";
      readonly type: keyof typeof NAT_TYPES;
      readonly family: "ip" | "ip6";
    } & NatRange)
  | ({ readonly kind: "masq" } & Pick<NatRange, "portMin" | "portMax" | "flags">)
  | { readonly kind: "notrack" }
  | {
      readonly kind: "fib";
      readonly result: keyof typeof FIB_RESULTS;
      /** {@link FibFlag}s */
      readonly flags: number;
      readonly to: Register;
    }
  /** Read back, and nothing that we would write. */
  | { readonly kind: "foreign"; readonly name: string };

/** Loads a property of the packet. */
export const meta = (key: MetaKey, to: Register = 1): Expression => ({ kind: "meta", key, to });

export const setMeta = (key: MetaKey, from: Register = 1): Expression => ({ kind: "meta-set", key, from });

export const cmp = (op: Comparison, data: Data, register: Register = 1): Expression => ({
  kind: "cmp",
  op,
  register,
  data,
});

/** Both ends belong to it; the data in network order. */
export const range = (op: "eq" | "neq", low: Data, high: Data, register: Register = 1): Expression => ({
  kind: "range",
  op,
  register,
  low,
  high,
});

/** Loads bytes of the packet, counted from the beginning of a header. */
export const payload = (base: PayloadBase, offset: number, length: number, to: Register = 1): Expression => ({
  kind: "payload",
  base,
  offset,
  length,
  to,
});

/** Writes into the packet. */
export const setPayload = (
  base: PayloadBase,
  offset: number,
  length: number,
  options: { readonly from?: Register; readonly checksumOffset?: number } = {},
): Expression => ({ kind: "payload-set", base, offset, length, from: 1, ...options });

/** Loads a property of the packet's connection. */
export const ct = (
  key: CtKey,
  options: { readonly to?: Register; readonly direction?: keyof typeof CT_DIRECTIONS } = {},
): Expression => ({ kind: "ct", key, to: 1, ...options });

export const setCt = (key: CtKey, from: Register = 1): Expression => ({ kind: "ct-set", key, from });

/** register = (register & mask) ^ xor */
export const bitwise = (mask: Data, xor: Data = "00".repeat(mask.length / 2), register: Register = 1) =>
  ({ kind: "bitwise", from: register, to: register, mask, xor }) as const satisfies Expression;

/** Goes on where the register's value is in the set (inverted: is not). */
export const lookup = (
  set: string,
  options: { readonly invert?: boolean; readonly from?: Register } = {},
): Expression => ({ kind: "lookup", set, from: 1, invert: false, ...options });

/** Does what the map says for the register's value; goes on where it says nothing. */
export const verdictMap = (set: string, from: Register = 1): Expression => ({
  kind: "lookup",
  set,
  from,
  to: 0,
  invert: false,
});

/** Loads what the map says for a register's value; ends the rule where it says nothing. */
export const mapLookup = (
  set: string,
  options: { readonly from?: Register; readonly to?: Register } = {},
): Expression => ({ kind: "lookup", set, from: 1, to: 1, invert: false, ...options });

export const counter = (packets = 0n, bytes = 0n): Expression => ({ kind: "counter", packets, bytes });

export const immediate = (data: Data, to: Register = 1): Expression => ({ kind: "immediate", to, data });

export const verdict = (is: Verdict): Expression => ({ kind: "verdict", verdict: is });

/** `burst`: how many more at once; 5 packets unless given. */
export const limit = (options: {
  readonly rate: bigint;
  readonly per?: "packets" | "bytes";
  readonly seconds?: bigint;
  readonly burst?: number;
  readonly over?: boolean;
}): Expression => ({
  kind: "limit",
  per: "packets",
  seconds: 1n,
  burst: options.per === "bytes" ? 0 : 5,
  over: false,
  ...options,
});

export const connectionLimit = (count: number, options: { readonly over?: boolean } = {}): Expression => ({
  kind: "connlimit",
  count,
  over: false,
  ...options,
});

export const logToKernel = (prefix: string, level: number): Expression => ({ kind: "log", prefix, level });

export const logToGroup = (group: number, prefix: string, snaplen: number): Expression => ({
  kind: "log",
  prefix,
  group,
  snaplen,
});

/** ICMP destination unreachable with the code, by the family's own protocol. */
export const rejectIcmp = (code: number): Expression => ({ kind: "reject", type: "icmp", code });

/** Only for TCP. */
export const rejectTcp = (): Expression => ({ kind: "reject", type: "tcp-reset", code: 0 });

/** The registers hold addresses and ports; one alone is a range of one. */
export const nat = (
  type: keyof typeof NAT_TYPES,
  family: "ip" | "ip6",
  options: Partial<NatRange>,
): Expression => ({ kind: "nat", type, family, flags: 0, ...options });

export const masquerade = (
  options: Partial<Pick<NatRange, "portMin" | "portMax" | "flags">> = {},
): Expression => ({ kind: "masq", flags: 0, ...options });

/** No connection tracking for this packet; before it, in a raw chain. */
export const notrack = (): Expression => ({ kind: "notrack" });

/** Asks the routing tables. */
export const fib = (result: keyof typeof FIB_RESULTS, flags: number, to: Register = 1): Expression => ({
  kind: "fib",
  result,
  flags,
  to,
});
