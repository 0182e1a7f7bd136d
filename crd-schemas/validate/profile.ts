/** Profiles: labels an endpoint may have, and rules as in policies of no namespace. */

import type { Profile } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { checkLabels } from "./metadata.ts";
import { checkRules } from "./rule.ts";

export function checkProfile({ spec }: Profile, report: Report): void {
  checkLabels(spec.labelsToApply, ["spec", "labelsToApply"], report);
  checkRules(spec, false, report);
}
