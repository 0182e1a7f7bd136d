/**
 * Ports that no host endpoint's policy can close, so that a mistake in a policy does not lock everybody out: ssh, BGP,
 * the datastore (calico.md 2.19). In FelixConfiguration a list of `{protocol, net, port}`; in the environment and the
 * config file text: `tcp:22, udp:10.0.0.0/8:53, tcp:[fd00::/8]:179`; a port alone is TCP's.
 */

import { parseCidr } from "../../net/cidr.ts";
import type { FailsafePort } from "../../policy/failsafes.ts";

export type { FailsafePort } from "../../policy/failsafes.ts";

const ENTRY = /^(?:(tcp|udp|sctp):)?(?:(\[[^\]]+\]|[^[\]]+):)?(\d{1,5})$/i;

/** Undefined where an entry makes no sense, also where there is none: who wants no failsafes says `none`. */
export function parseFailsafePorts(raw: string): readonly FailsafePort[] | undefined {
  const ports: FailsafePort[] = [];
  for (const item of raw.split(",").map(text => text.trim())) {
    const [, protocol = "tcp", written, number] = ENTRY.exec(item) ?? [];
    const port = Number(number);
    const net = written === undefined ? undefined : parseCidr(written.replace(/^\[(.*)\]$/, "$1"));
    if (number === undefined || port > 65535 || (written !== undefined && net === undefined))
      return undefined;
    ports.push({ protocol: protocol.toLowerCase() as FailsafePort["protocol"], net, port });
  }
  return ports;
}

/** The resource's list as text of the flat form; an empty one means that there are to be none. */
export function failsafePortsText(list: readonly unknown[]): string {
  if (list.length === 0) return "none";
  return list
    .map(entry => {
      const { protocol, net, port } = entry as { protocol?: string; net?: string; port: number };
      return [protocol ?? "tcp", ...(net ? [`[${net}]`] : []), port].join(":");
    })
    .join(",");
}
