/** Peers by names that people know. */

import type { Peer } from "../../../policy/flows/peers.ts";

/** `default/web`, `default/web and 2 more`, `host host1`, `outside, 10.0.0.0/8`. */
export function peerText(peer: Peer): string {
  switch (peer.kind) {
    case "endpoints":
      return severalText(peer.ids);
    case "hosts":
      return `host ${severalText(peer.names)}`;
    case "outside":
      return `outside, ${peer.block ?? `other IPv${peer.version}`}`;
  }
}

function severalText([first, ...others]: readonly string[]): string {
  return others.length === 0 ? first! : `${first} and ${others.length} more`;
}
