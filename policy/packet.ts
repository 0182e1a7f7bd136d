/** The first packet of a connection, as far as policy can tell packets apart. What follows it is connection tracking's. */

import type { Protocol } from "../crd-schemas/index.ts";
import type { Ip } from "../net/ip.ts";
import type { IcmpMatch } from "./model.ts";

export interface Packet {
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: Protocol;
  /** Unknown matches no rule that asks for one. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: Required<IcmpMatch>;
}
