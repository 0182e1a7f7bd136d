/**
 * A process that floods a reflector with a table over one session and takes it back over another, both with a hold time of three seconds, and
 * tells the longest silence it has heard on each. Arguments: the reflector's IPv4 and IPv6 address, how many prefixes, and how often each is
 * announced, with other attributes every time.
 */

import { connect, type Socket } from "node:net";
import { MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import { decodeNotification, describeNotification } from "../../message/notification.ts";
import { encodeOpen } from "../../message/open.ts";
import { encodeUpdate } from "../../message/update.ts";
import { endOfRibBody } from "../../message/update-packer.ts";
import { Family } from "../../route.ts";

export interface FloodReport {
  /** Milliseconds from one message of the reflector to the next, at most: to the sender, to the receiver. */
  readonly silence: readonly [number, number];
  /** Prefixes taken back; what changes twice before it is told is told once. */
  readonly received: number;
  /** Milliseconds until the last one was. */
  readonly took: number;
}

const ASN = 64512;
const PER_UPDATE = 10;
/** Written at a time; a KEEPALIVE may come in between. */
const UPDATES_PER_WRITE = 500;
const HOLD = 3;

/** One end of a session, which keeps itself alive. */
class End {
  readonly socket: Socket;
  silence = 0;
  onUpdate: (bytes: Uint8Array, start: number, end: number) => void = () => {};
  #heardAt = 0;
  readonly established: Promise<void>;

  constructor(host: string, localAddress: string, routerId: string) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.established = promise;
    this.socket = connect({ host, port: 179, localAddress, noDelay: true });
    const framer = new Framer();
    this.socket.on("connect", () => {
      const capabilities = [
        { kind: "multiprotocol", afi: 1, safi: 1 } as const,
        { kind: "four-octet-as", asn: ASN } as const,
      ];
      const open = { asn: ASN, holdTime: HOLD, routerId, capabilities };
      this.socket.write(frame(MessageType.open, encodeOpen(open)));
    });
    this.socket.on("data", chunk => {
      const now = performance.now();
      framer.push(chunk, (type, bytes, start, end) => {
        if (this.#heardAt > 0) this.silence = Math.max(this.silence, now - this.#heardAt);
        this.#heardAt = now;
        if (type === MessageType.open) this.keepalive();
        else if (type === MessageType.keepalive) resolve();
        else if (type === MessageType.update) this.onUpdate(bytes, start, end);
        else fail(describeNotification(decodeNotification(bytes.slice(start, end))));
        return true;
      });
    });
    this.socket.on("close", () => fail("the reflector closed the connection"));
    this.socket.on("error", error => fail(error.message));
  }

  keepalive(): void {
    this.socket.write(frame(MessageType.keepalive));
  }

  /** To now: a silence that goes on is one too. */
  listen(): void {
    this.silence = Math.max(this.silence, performance.now() - this.#heardAt);
  }
}

function fail(why: string): never {
  process.stdout.write(`${JSON.stringify({ error: why })}\n`);
  process.exit(1);
}

/** Where an UPDATE made as below has its MED, and its first prefix. */
const MED_AT = 40;
const NLRI_AT = 51;

/** Whole messages, as many as are written at a time: copies of one, with another MED and other prefixes each. */
function table(count: number, round: number): Buffer[] {
  const attributes = { origin: "igp", asPath: [], nextHop: "10.99.0.2", localPref: 100, med: 0 } as const;
  const nlri = Nlri.of(Family.ipv4Unicast, Array<string>(PER_UPDATE).fill("1.0.0.0/24"));
  const update = encodeUpdate({ announced: [{ nlri, attributes }] }, { fourOctetAs: true });
  const writes: Buffer[] = [];
  for (let i = 0; i < count; ) {
    const write = Buffer.alloc(UPDATES_PER_WRITE * update.length);
    let end = 0;
    for (; i < count && end < write.length; i += PER_UPDATE, end += update.length) {
      write.set(update, end);
      write.writeUInt32BE(i + round, end + MED_AT);
      for (let k = 0; k < PER_UPDATE; k++) write.writeUIntBE((1 << 16) + i + k, end + NLRI_AT + 4 * k + 1, 3);
    }
    writes.push(write.subarray(0, end));
  }
  return writes;
}

function countPrefixes(bytes: Uint8Array, start: number, end: number): number {
  const withdrawn = (bytes[start]! << 8) | bytes[start + 1]!;
  const attributesAt = start + 2 + withdrawn;
  const attributes = (bytes[attributesAt]! << 8) | bytes[attributesAt + 1]!;
  let count = 0;
  for (let at = attributesAt + 2 + attributes; at < end; at += 1 + ((bytes[at]! + 7) >> 3)) count++;
  return count;
}

const [ipv4, ipv6] = [process.argv[2]!, process.argv[3]!];
const [prefixes, rounds] = [Number(process.argv[4]), Number(process.argv[5])];
const writes = Array.from({ length: rounds }, (_, round) => table(prefixes, round)).flat();
// Announced last, and a message of its own: when it comes back, everything has.
const last = { origin: "igp", asPath: [], nextHop: "10.99.0.2", localPref: 4711 } as const;
const lastNlri = Nlri.of(Family.ipv4Unicast, ["203.0.113.0/24"]);
const lastUpdate = encodeUpdate({ announced: [{ nlri: lastNlri, attributes: last }] }, { fourOctetAs: true });
writes.push(Buffer.concat([lastUpdate, frame(MessageType.update, endOfRibBody(Family.ipv4Unicast))]));
const receiver = new End(ipv6, "fd99::2", "10.99.0.3");
const sender = new End(ipv4, "10.99.0.2", "10.99.0.2");
await Promise.all([sender.established, receiver.established]);
setInterval(() => {
  sender.keepalive();
  receiver.keepalive();
}, 1000);

let received = 0;
const all = Promise.withResolvers<void>();
receiver.onUpdate = (chunk, start, end) => {
  received += countPrefixes(chunk, start, end);
  if (chunk[end - 3] === 203 && chunk[end - 2] === 0 && chunk[end - 1] === 113) all.resolve();
};
const startedAt = performance.now();
for (const bytes of writes) {
  if (!sender.socket.write(bytes)) {
    await new Promise(resolve => sender.socket.once("drain", resolve));
  }
}
await all.promise;
const took = performance.now() - startedAt;
sender.listen();
receiver.listen();
const report: FloodReport = { silence: [sender.silence, receiver.silence], received, took };
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(0);
