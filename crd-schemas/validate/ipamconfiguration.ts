/** IPAM settings: a limit on blocks without strict affinity would only make hosts borrow. */

import type { IPAMConfiguration } from "../generated/types.ts";
import type { Report } from "../problem.ts";

export function checkIPAMConfiguration({ spec }: IPAMConfiguration, report: Report): void {
  if (spec.maxBlocksPerHost! > 0 && !spec.strictAffinity) {
    report(
      ["spec", "maxBlocksPerHost"],
      "a limit on blocks needs strictAffinity",
      "0, or strictAffinity: true",
    );
  }
}
