/** iptables-ts: netfilter tables, chains, rules and ipsets as values. See README.md. */

export {
  type Backend,
  type DetectOptions,
  detectBackend,
  type IpVersion,
  type Variant,
} from "./backend.ts";
export { type ChainCounters, type Counter, parseCounters } from "./counters.ts";
export {
  InvalidRuleError,
  IpSetError,
  type IpSetErrorCode,
  IptablesError,
  type IptablesErrorCode,
} from "./errors.ts";
export { chainHashes } from "./hash.ts";
export { type IpSetSpec, IpSets, type IpSetsOptions, ipSetName } from "./ipset.ts";
export { createIpSetBackend, type IpSetBackend } from "./ipset-backend.ts";
export { type KernelSet, parseIpSets } from "./ipset-parse.ts";
export { type ApplyResult, Iptables, type IptablesOptions } from "./iptables.ts";
export {
  type AddressType,
  type ConntrackState,
  type ConntrackTuple,
  type HashLimit,
  MAX_PORT_SLOTS,
  type Port,
  portSlots,
  type Rate,
  type SetDirection,
} from "./match.ts";
export { elementsOf, InvalidMemberError } from "./member.ts";
export { type ParsedChain, type ParsedTable, parseSave, type TableName } from "./parse.ts";
export { quote, splitWords } from "./quote.ts";
export { renderRestore, type Section } from "./render.ts";
export { Rule, rule } from "./rule.ts";
export { createRunner, type Run, type RunnerOptions, type RunResult } from "./run.ts";
export { Table, type TableOptions, type TablePlan } from "./table.ts";
export { type LogLevel, type NatOptions, type RejectWith, type Target, target } from "./target.ts";
