/** BGP communities as text: `high:low` of 16 bits each (RFC 1997), or three numbers of 32 bits (RFC 8092). */

import type { Path, Report } from "../problem.ts";

export function isCommunity(text: string): boolean {
  if (!/^\d+:\d+(:\d+)?$/.test(text)) return false;
  const parts = text.split(":").map(Number);
  const highest = parts.length === 2 ? 0xffff : 0xffffffff;
  return parts.every(part => part <= highest);
}

export function checkCommunity(text: string, path: Path, report: Report): void {
  if (isCommunity(text)) return;
  report(
    path,
    `"${text}" is no community`,
    '"high:low" up to 65535 each, or "global:local1:local2" up to 4294967295 each',
  );
}
