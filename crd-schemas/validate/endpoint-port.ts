/** Names that endpoints give to their ports: unique for a protocol, since rules look ports up by them. */

import type { Path, Report } from "../problem.ts";
import { type Protocol, protocolHasPorts, protocolNumber } from "../scalars.ts";
import { isPortName } from "./names.ts";

export function checkEndpointPorts(
  ports: readonly { name?: string; protocol: Protocol }[],
  path: Path,
  report: Report,
): void {
  const seen = new Set<string>();
  for (const [i, { name, protocol }] of ports.entries()) {
    if (!protocolHasPorts(protocol)) {
      report([...path, i, "protocol"], `${protocol} has no ports`, "TCP, UDP or SCTP");
    }
    if (!name) continue;
    if (!isPortName(name)) {
      const words = 'at most 15 lower-case letters, digits and single "-", with a letter among them';
      report([...path, i, "name"], `invalid port name "${name}"`, words);
    }
    const identity = `${name}/${protocolNumber(protocol)}`;
    if (seen.has(identity))
      report([...path, i, "name"], `port name "${name}" is given twice`, "another name");
    seen.add(identity);
  }
}
