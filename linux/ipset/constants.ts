/** Numbers of linux/netfilter/ipset/ip_set.h, under the kernel's names. */

/** NFNL_SUBSYS_IPSET in the high byte of a message's type. */
const SUBSYSTEM = 6 << 8;

/** IPSET_CMD_* */
export const Command = {
  CREATE: SUBSYSTEM + 2,
  DESTROY: SUBSYSTEM + 3,
  FLUSH: SUBSYSTEM + 4,
  SWAP: SUBSYSTEM + 6,
  LIST: SUBSYSTEM + 7,
  ADD: SUBSYSTEM + 9,
  DEL: SUBSYSTEM + 10,
  TYPE: SUBSYSTEM + 13,
} as const;

/** The oldest that every kernel still takes; nothing here needs a newer one. */
export const IPSET_PROTOCOL = 6;

/** IPSET_ATTR_* of a command. */
export const Attribute = {
  PROTOCOL: 1,
  SETNAME: 2,
  TYPENAME: 3,
  SETNAME2: 3,
  REVISION: 4,
  FAMILY: 5,
  FLAGS: 6,
  DATA: 7,
  ADT: 8,
  LINENO: 9,
} as const;

/** IPSET_ATTR_* of an element. */
export const EntryAttribute = {
  IP: 1,
  CIDR: 3,
  PORT: 4,
  PROTO: 7,
  LINENO: 9,
} as const;

/** IPSET_ATTR_* of a set's own data. */
export const HeaderAttribute = { MAXELEM: 19, ELEMENTS: 24, REFERENCES: 25, MEMSIZE: 26 } as const;

/** IPSET_ATTR_IPADDR_* */
export const AddressAttribute = { IPV4: 1, IPV6: 2 } as const;

/** NLA_F_NET_BYTEORDER: on every number and address, or they are refused. */
export const NET_BYTEORDER = 0x4000;

/** IPSET_FLAG_LIST_HEADER */
export const FLAG_LIST_HEADER = 4;

/** NFPROTO_* */
export const FAMILIES = { 4: 2, 6: 10 } as const;
