/** What rooms above may use of this one. */

export { DEFAULTS } from "./generated/tables.ts";
export type * from "./generated/types.ts";
export {
  API_VERSION,
  CRD_GROUP,
  CRD_VERSION,
  DEFAULT_ALLOW_PROFILE,
  DEFAULT_TIER_ORDER,
  findKind,
  isKind,
  KINDS,
  type KindInfo,
  type KindName,
  kindInfo,
  PROTECTED_TIERS,
} from "./kinds.ts";
export { type Path, type Problem, pathText } from "./problem.ts";
export * from "./scalars.ts";
export { type PeerAddress, parsePeerAddress } from "./validate/bgppeer.ts";
export { poolOverlaps } from "./validate/ippool.ts";
export { isLabel, isLabelKey, isLabelValue, isSubdomain } from "./validate/names.ts";
export { isProtectedTier } from "./validate/tier.ts";
export {
  applyDefaults,
  type ValidateOptions,
  type Validation,
  validateResource,
  validateUpdate,
  validResource,
} from "./validate.ts";
export * from "./workload-endpoint-name.ts";
