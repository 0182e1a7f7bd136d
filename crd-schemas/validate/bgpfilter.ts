/** BGP filters: criteria that belong together, and changes only to what is accepted. */

import { cidr, prefixLength } from "../../net/cidr.ts";
import type { BGPFilter, BGPFilterRuleV4, BGPFilterRuleV6 } from "../generated/types.ts";
import type { Path, Report } from "../problem.ts";
import { checkCommunity } from "./community.ts";
import { checkVersion } from "./families.ts";

export function checkBGPFilter({ spec }: BGPFilter, report: Report): void {
  for (const field of ["exportV4", "importV4", "exportV6", "importV6"] as const) {
    const version = field.endsWith("4") ? 4 : 6;
    for (const [i, rule] of (spec[field] ?? []).entries()) {
      checkFilterRule(rule, version, ["spec", field, i], report);
    }
  }
}

function checkFilterRule(
  rule: BGPFilterRuleV4 | BGPFilterRuleV6,
  version: 4 | 6,
  path: Path,
  report: Report,
): void {
  checkVersion(rule.cidr, version, [...path, "cidr"], report);
  if (rule.cidr && !rule.matchOperator) {
    report([...path, "matchOperator"], "cidr needs a matchOperator", "Equal, NotEqual, In or NotIn");
  }
  if (rule.matchOperator && !rule.cidr) report([...path, "cidr"], "matchOperator needs a cidr", "a CIDR");
  checkPrefixLength(rule, path, report);
  if (rule.interface && !/^[A-Za-z0-9_.@*-]+$/.test(rule.interface)) {
    report(
      [...path, "interface"],
      `"${rule.interface}" is not an interface`,
      "an interface's name, or one with * in it",
    );
  }
  for (const [i, value] of (rule.communities?.values ?? []).entries()) {
    checkCommunity(value, [...path, "communities", "values", i], report);
  }
  if (rule.operations && rule.operations.length > 0 && rule.action !== "Accept") {
    report([...path, "operations"], "a rejected route cannot be changed", "action Accept");
  }
  for (const [i, { addCommunity }] of (rule.operations ?? []).entries()) {
    if (addCommunity)
      checkCommunity(addCommunity.value, [...path, "operations", i, "addCommunity", "value"], report);
  }
}

function checkPrefixLength(rule: BGPFilterRuleV4 | BGPFilterRuleV6, path: Path, report: Report): void {
  if (!rule.prefixLength) return;
  const at = [...path, "prefixLength"];
  if (!rule.cidr) {
    report(at, "prefixLength needs a cidr", "a cidr");
    return;
  }
  const { min, max } = rule.prefixLength;
  const own = prefixLength(cidr(rule.cidr));
  if (min !== undefined && max !== undefined && min > max) {
    report([...at, "min"], `min ${min} is above max ${max}`, `${max} or less`);
  } else if (max !== undefined && max < own) {
    report([...at, "max"], `no prefix in ${rule.cidr} is as short as /${max}`, `${own} or more`);
  }
}
