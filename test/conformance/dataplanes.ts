/** Which dataplanes are tested: both, unless CALYX_DATAPLANES names one. */

import process from "node:process";
import { LAB_DATAPLANES, type LabDataplane } from "../../lab/state.ts";

export const DATAPLANES: readonly LabDataplane[] = chosen(process.env["CALYX_DATAPLANES"]);

function chosen(text: string | undefined): readonly LabDataplane[] {
  if (text === undefined) return LAB_DATAPLANES;
  const names = text.split(",");
  const wrong = names.find(name => !LAB_DATAPLANES.some(known => known === name));
  if (wrong !== undefined)
    throw new Error(`CALYX_DATAPLANES: no dataplane "${wrong}"; there are ${LAB_DATAPLANES.join(", ")}`);
  return LAB_DATAPLANES.filter(known => names.includes(known));
}
