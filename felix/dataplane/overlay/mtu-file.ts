/** Where whoever plugs workloads in (a CNI plugin, the lab) reads how long their packets may be, as Calico's plugin does. */

import { readText, writeAtomically } from "../../../node/node-name.ts";

export const DEFAULT_MTU_FILE = "/var/lib/calico/mtu";

export function writeMtuFile(path: string, mtu: number): void {
  writeAtomically(path, String(mtu));
}

/** Undefined where there is no such file yet, or something else in it. */
export function readMtuFile(path: string): number | undefined {
  const mtu = Number(readText(path));
  return Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
}
