/** Network policies, global or not, staged or not. */

import type {
  GlobalNetworkPolicy,
  NetworkPolicy,
  StagedGlobalNetworkPolicy,
  StagedNetworkPolicy,
} from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { isLabel } from "./names.ts";
import { checkRules, mentionsGlobal } from "./rule.ts";

export function checkNetworkPolicy({ spec }: NetworkPolicy | StagedNetworkPolicy, report: Report): void {
  checkCommon(spec, report);
  checkRules(spec, true, report);
}

export function checkGlobalNetworkPolicy(
  { spec }: GlobalNetworkPolicy | StagedGlobalNetworkPolicy,
  report: Report,
): void {
  checkCommon(spec, report);
  checkRules(spec, false, report);
  const { preDNAT, doNotTrack, applyOnForward, egress, types } = spec;
  if (preDNAT && doNotTrack) {
    report(["spec", "preDNAT"], "preDNAT and doNotTrack exclude each other", "one of them");
  }
  for (const field of ["preDNAT", "doNotTrack"] as const) {
    if (spec[field] && !applyOnForward) {
      report(["spec", "applyOnForward"], `${field} needs applyOnForward`, "true");
    }
  }
  if (!preDNAT) return;
  if (egress && egress.length > 0) {
    report(["spec", "egress"], "a preDNAT policy has no egress rules", "ingress rules only");
  }
  const egressType = types?.indexOf("Egress") ?? -1;
  if (egressType >= 0) {
    report(["spec", "types", egressType], "a preDNAT policy does not govern egress", "Ingress only");
  }
}

interface CommonSpec {
  tier?: string;
  types?: string[];
  selector?: string;
  namespaceSelector?: string;
  serviceAccountSelector?: string;
}

function checkCommon(spec: CommonSpec, report: Report): void {
  if (spec.tier !== undefined && !isLabel(spec.tier)) {
    report(["spec", "tier"], `"${spec.tier}" is not the name of a tier`, "the name of a tier");
  }
  if (spec.types && new Set(spec.types).size < spec.types.length) {
    report(["spec", "types"], "types names a direction twice", "Ingress, Egress or both");
  }
  for (const field of ["selector", "namespaceSelector", "serviceAccountSelector"] as const) {
    if (mentionsGlobal(spec[field] ?? "")) {
      report(
        ["spec", field],
        "global() stands only in the namespaceSelector of a rule",
        "a selector without global()",
      );
    }
  }
}
