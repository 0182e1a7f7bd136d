/** Numbers of linux/netfilter/nf_tables.h that more than one file needs, under the kernel's names. */

/** NFNL_SUBSYS_NFTABLES in the high byte of a message's type. */
const SUBSYSTEM = 10 << 8;

/** NFT_MSG_* */
export const MessageType = {
  NEWTABLE: SUBSYSTEM,
  GETTABLE: SUBSYSTEM + 1,
  DELTABLE: SUBSYSTEM + 2,
  NEWCHAIN: SUBSYSTEM + 3,
  GETCHAIN: SUBSYSTEM + 4,
  DELCHAIN: SUBSYSTEM + 5,
  NEWRULE: SUBSYSTEM + 6,
  GETRULE: SUBSYSTEM + 7,
  DELRULE: SUBSYSTEM + 8,
  NEWSET: SUBSYSTEM + 9,
  GETSET: SUBSYSTEM + 10,
  DELSET: SUBSYSTEM + 11,
  NEWSETELEM: SUBSYSTEM + 12,
  GETSETELEM: SUBSYSTEM + 13,
  DELSETELEM: SUBSYSTEM + 14,
  NEWGEN: SUBSYSTEM + 15,
  GETGEN: SUBSYSTEM + 16,
} as const;

/** NFNL_MSG_BATCH_*: the messages that open and close a transaction. */
export const BatchType = { BEGIN: 16, END: 17 } as const;

/** NFPROTO_* */
export const FAMILIES = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
export type Family = keyof typeof FAMILIES;

/** struct nfgenmsg: family, version, resource id. */
export const NFGENMSG_LENGTH = 4;

/** NFTA_TABLE_* */
export const TableAttribute = { NAME: 1, FLAGS: 2, USE: 3, HANDLE: 4, USERDATA: 6, OWNER: 7 } as const;

/** NFT_TABLE_F_* */
export const TableFlag = { DORMANT: 1, OWNER: 2, PERSIST: 4 } as const;

/** NFTA_CHAIN_* */
export const ChainAttribute = {
  TABLE: 1,
  HANDLE: 2,
  NAME: 3,
  HOOK: 4,
  POLICY: 5,
  USE: 6,
  TYPE: 7,
  COUNTERS: 8,
  FLAGS: 10,
  ID: 11,
  USERDATA: 12,
} as const;

/** NFTA_HOOK_* */
export const HookAttribute = { HOOKNUM: 1, PRIORITY: 2 } as const;

/** NFTA_RULE_* */
export const RuleAttribute = {
  TABLE: 1,
  CHAIN: 2,
  HANDLE: 3,
  EXPRESSIONS: 4,
  POSITION: 6,
  USERDATA: 7,
} as const;

/** NFTA_SET_* */
export const SetAttribute = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DATA_TYPE: 6,
  DATA_LEN: 7,
  DESC: 9,
  ID: 10,
  USERDATA: 13,
  HANDLE: 16,
  EXPR: 17,
} as const;

/** NFTA_SET_DESC_*, and in its list of fields NFTA_SET_FIELD_LEN. */
export const SetDescriptionAttribute = { SIZE: 1, CONCAT: 2 } as const;
export const SET_FIELD_LEN = 1;

/** NFT_SET_* */
export const SetFlag = { ANONYMOUS: 1, CONSTANT: 2, INTERVAL: 4, MAP: 8, CONCAT: 0x80 } as const;

/** NFTA_SET_ELEM_LIST_* */
export const ElementListAttribute = { TABLE: 1, SET: 2, ELEMENTS: 3, SET_ID: 4 } as const;

/** NFTA_SET_ELEM_* */
export const ElementAttribute = {
  KEY: 1,
  DATA: 2,
  FLAGS: 3,
  USERDATA: 6,
  EXPR: 7,
  KEY_END: 10,
} as const;

/** NFT_SET_ELEM_* */
export const ElementFlag = { INTERVAL_END: 1, CATCHALL: 2 } as const;

export const NFTA_LIST_ELEM = 1;

/** NFTA_DATA_* */
export const DataAttribute = { VALUE: 1, VERDICT: 2 } as const;
/** NFT_DATA_VERDICT, as the type of a map's data. */
export const VERDICT_DATA_TYPE = 0xffffff00;

/** NFTA_VERDICT_* */
export const VerdictAttribute = { CODE: 1, CHAIN: 2 } as const;

/** NFTA_EXPR_* */
export const ExpressionAttribute = { NAME: 1, DATA: 2 } as const;
