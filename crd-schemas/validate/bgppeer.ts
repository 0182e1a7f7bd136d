/** BGP peers: exactly one way to say who has the peer, and one to say who it is. */

import { type Ip, parseIp } from "../../net/ip.ts";
import type { BGPPeer } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { versionOf } from "./families.ts";

/** What `peerIP` holds; the port is absent where the text has none. */
export interface PeerAddress {
  readonly ip: Ip;
  readonly port?: number;
}

/** Reads `ip`, `ip:port` and `[ipv6]:port`. */
export function parsePeerAddress(text: string): PeerAddress | undefined {
  const bare = parseIp(text);
  if (bare !== undefined) return { ip: bare };
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const address = match && parseIp(match[1] ?? match[2]!);
  const port = Number(match?.[3]);
  return address && port >= 1 && port <= 65535 ? { ip: address, port } : undefined;
}

export function checkBGPPeer({ spec }: BGPPeer, report: Report): void {
  if (spec.node && spec.nodeSelector) {
    report(
      ["spec", "nodeSelector"],
      "node and nodeSelector exclude each other",
      "one of them, or none for all nodes",
    );
  }
  checkPeer(spec, report);
  if (spec.keepOriginalNextHop && spec.nextHopMode !== undefined) {
    report(
      ["spec", "keepOriginalNextHop"],
      "keepOriginalNextHop and nextHopMode exclude each other",
      "nextHopMode alone",
    );
  }
  if (spec.password?.secretKeyRef && !spec.password.secretKeyRef.name) {
    report(["spec", "password", "secretKeyRef", "name"], "the secret has no name", "the name of a secret");
  }
}

const PEER_FIELDS = ["peerIP", "peerSelector", "localWorkloadSelector"] as const;

function checkPeer(spec: BGPPeer["spec"], report: Report): void {
  const given = PEER_FIELDS.filter(field => spec[field]);
  if (given.length === 0)
    report(["spec", "peerIP"], "nothing says who the peer is", `one of ${PEER_FIELDS.join(", ")}`);
  for (const field of given.slice(1)) {
    report(["spec", field], `${given[0]} and ${field} exclude each other`, "one of them");
  }
  const peer = spec.peerIP ? parsePeerAddress(spec.peerIP) : undefined;
  if (spec.peerIP && !peer) {
    report(
      ["spec", "peerIP"],
      `"${spec.peerIP}" is not a peer's address`,
      "an IP address, 10.0.0.1:1790 or [fd00::1]:1790",
    );
  }
  if (spec.peerSelector && spec.asNumber) {
    report(["spec", "asNumber"], "nodes chosen by peerSelector bring their own AS number", "no asNumber");
  }
  if (spec.localWorkloadSelector && !spec.asNumber) {
    report(["spec", "asNumber"], "workloads have no AS number of their own", "the workloads' AS number");
  }
  if (!spec.reachableBy) return;
  if (!spec.peerIP) {
    report(["spec", "reachableBy"], "reachableBy needs peerIP", "a peerIP");
  } else if (peer && versionOf(peer.ip) !== versionOf(spec.reachableBy)) {
    const version = versionOf(peer.ip);
    report(
      ["spec", "reachableBy"],
      `the gateway is not IPv${version} as the peer is`,
      `an IPv${version} address`,
    );
  }
}
