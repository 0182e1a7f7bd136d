/**
 * A neighbor as a process of its own that sends a big table again and again, each time with other attributes, and watches how regularly it
 * hears from the speaker. Options as JSON in the first argument; one line of JSON when done, with the longest silence in ms.
 */

import { connect } from "node:net";
import { MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import { encodeOpen } from "../../message/open.ts";
import { encodeUpdate } from "../../message/update.ts";
import { endOfRibBody } from "../../message/update-packer.ts";
import { Family } from "../../route.ts";

export interface FeederOptions {
  readonly port: number;
  readonly address: string;
  readonly asn: number;
  /** Seconds. */
  readonly holdTime: number;
  readonly prefixes: number;
  readonly rounds: number;
}

const PER_UPDATE = 10;
const { port, address, asn, holdTime, prefixes, rounds }: FeederOptions = JSON.parse(process.argv[2]!);

function round(number: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < prefixes; at += PER_UPDATE) {
    const list = Array.from({ length: Math.min(PER_UPDATE, prefixes - at) }, (_, i) => {
      const n = at + i;
      return `${20 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24`;
    });
    const attributes = {
      origin: "igp" as const,
      asPath: [{ type: "sequence" as const, asns: [65000 + (at % 500), 65001] }],
      nextHop: "192.0.2.2",
      localPref: 100,
      med: number * 1000 + (at % 997),
    };
    const nlri = Nlri.of(Family.ipv4Unicast, list);
    pieces.push(encodeUpdate({ announced: [{ nlri, attributes }] }, { fourOctetAs: true }));
  }
  return [Buffer.concat(pieces)];
}

const stream = Array.from({ length: rounds }, (_, i) => round(i)).flat();
const socket = connect({ port, host: "127.0.0.1", localAddress: address });
const framer = new Framer();
let lastHeard = 0;
let longestSilence = 0;
let isUp = false;

socket.on("connect", () => {
  const capabilities = [
    { kind: "multiprotocol" as const, afi: 1, safi: 1 },
    { kind: "four-octet-as" as const, asn },
  ];
  socket.write(frame(MessageType.open, encodeOpen({ asn, holdTime, routerId: address, capabilities })));
});
socket.on("data", chunk => {
  framer.push(chunk as Buffer, type => {
    if (lastHeard > 0) longestSilence = Math.max(longestSilence, Date.now() - lastHeard);
    if (type === MessageType.open) socket.write(frame(MessageType.keepalive));
    if (type === MessageType.keepalive && !isUp) {
      isUp = true;
      lastHeard = Date.now();
      feed();
    }
    if (isUp) lastHeard = Date.now();
    return true;
  });
});
const ticking = setInterval(() => socket.write(frame(MessageType.keepalive)), (holdTime * 1000) / 4);
socket.on("close", () => {
  clearInterval(ticking);
  process.stdout.write(`${JSON.stringify({ isUp, longestSilence })}\n`);
});

function feed(): void {
  const next = stream.shift();
  if (next !== undefined) socket.write(next, feed);
  else socket.write(frame(MessageType.update, endOfRibBody(Family.ipv4Unicast)));
}
