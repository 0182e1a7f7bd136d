/** What rooms above may use of this one. */

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
export { applyDefaults, type ValidateOptions, type Validation, validateResource } from "./validate.ts";
