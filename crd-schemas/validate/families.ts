/** IP versions of fields: text that the scalar pass found to be an address or a block. */

import type { IpVersion } from "../../net/ip.ts";
import type { Path, Report } from "../problem.ts";

export function versionOf(addressOrBlock: string): IpVersion {
  return addressOrBlock.includes(":") ? 6 : 4;
}

/** Reports text of the other version; absent and empty text has none. */
export function checkVersion(text: string | undefined, version: IpVersion, path: Path, report: Report): void {
  if (text && versionOf(text) !== version) {
    report(path, `"${text}" is not IPv${version}`, `an IPv${version} address`);
  }
}
