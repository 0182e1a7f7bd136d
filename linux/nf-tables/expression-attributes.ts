/**
 * The attributes of each expression and their special values: NFTA_META_*, NFTA_CMP_* and so on
 * (linux/netfilter/nf_tables.h).
 */

export const Meta = { DREG: 1, KEY: 2, SREG: 3 } as const;
export const Cmp = { SREG: 1, OP: 2, DATA: 3 } as const;
export const Range = { SREG: 1, OP: 2, FROM_DATA: 3, TO_DATA: 4 } as const;
export const Payload = {
  DREG: 1,
  BASE: 2,
  OFFSET: 3,
  LEN: 4,
  SREG: 5,
  CSUM_TYPE: 6,
  CSUM_OFFSET: 7,
} as const;
export const NFT_PAYLOAD_CSUM_INET = 1;
export const Ct = { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 } as const;
export const Bitwise = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5 } as const;
export const Lookup = { SET: 1, SREG: 2, DREG: 3, FLAGS: 5 } as const;
export const NFT_LOOKUP_F_INV = 1;
export const Counter = { BYTES: 1, PACKETS: 2 } as const;
export const Immediate = { DREG: 1, DATA: 2 } as const;
export const Limit = { RATE: 1, UNIT: 2, BURST: 3, TYPE: 4, FLAGS: 5 } as const;
export const NFT_LIMIT_F_INV = 1;
export const LIMIT_TYPES = { packets: 0, bytes: 1 } as const;
export const ConnLimit = { COUNT: 1, FLAGS: 2 } as const;
export const NFT_CONNLIMIT_F_INV = 1;
export const Log = { GROUP: 1, PREFIX: 2, SNAPLEN: 3, QTHRESHOLD: 4, LEVEL: 5, FLAGS: 6 } as const;
export const Reject = { TYPE: 1, ICMP_CODE: 2 } as const;
export const Nat = {
  TYPE: 1,
  FAMILY: 2,
  REG_ADDR_MIN: 3,
  REG_ADDR_MAX: 4,
  REG_PROTO_MIN: 5,
  REG_PROTO_MAX: 6,
  FLAGS: 7,
} as const;
export const NF_NAT_RANGE_PROTO_SPECIFIED = 2;
/** NF_NAT_RANGE_MAP_IPS and _PROTO_SPECIFIED follow from the registers. */
export const NAT_IMPLIED_FLAGS = 3;
export const Masq = { FLAGS: 1, REG_PROTO_MIN: 2, REG_PROTO_MAX: 3 } as const;
export const Fib = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;

/** NF_* and NFT_*, as the kernel's signed numbers. */
export const VERDICT_CODES = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;
