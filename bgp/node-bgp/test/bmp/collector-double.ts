/**
 * A BMP collector that believes nothing: every byte must have its meaning (RFC 7854), sessions must come up before they are heard of and routes be withdrawn only
 * where they are known. It shares no code with bmp/; the UPDATEs inside are read by the codec.
 */

import assert from "node:assert/strict";
import { decodeOpen, type OpenMessage } from "../../message/open.ts";
import { decodeUpdate } from "../../message/update.ts";
import { FAMILIES } from "../../route.ts";
import { attributeLine } from "../mrt/naive-update.ts";

export interface HeardPeer {
  readonly address: string;
  readonly asn: number;
  readonly routerId: string;
  readonly flags: number;
  readonly at: number;
}

export interface HeardSession {
  readonly peer: HeardPeer;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly sentOpen: OpenMessage;
  readonly receivedOpen: OpenMessage;
  /** Attributes as a line of text, by prefix (and path identifier). */
  readonly pre: Map<string, string>;
  readonly post: Map<string, string>;
  readonly endOfRib: string[];
  readonly statistics: Map<number, bigint[]>;
}

const HEADER = 6;
const PEER_HEADER = 42;

export class CollectorDouble {
  #held = Buffer.alloc(0);
  readonly sessions = new Map<string, HeardSession>();
  /** What came, in order: `initiation`, `up 192.0.2.1`, `down 192.0.2.1 4`, `statistics 192.0.2.1`, `termination 0`. */
  readonly events: string[] = [];
  readonly system = new Map<number, string>();
  readonly downs: { address: string; reason: number; data: Buffer }[] = [];
  /** Messages, by type. */
  readonly counts = [0, 0, 0, 0, 0, 0];

  push(chunk: Uint8Array): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= HEADER) {
      assert.equal(this.#held[0], 3, "version");
      const length = this.#held.readUInt32BE(1);
      const type = this.#held[5]!;
      assert.ok(type <= 5, `type ${type}`);
      assert.ok(length >= HEADER && length < 70_000, `length ${length}`);
      if (this.#held.length < length) return;
      const body = this.#held.subarray(HEADER, length);
      this.#held = this.#held.subarray(length);
      this.counts[type]!++;
      this.#message(type, body);
    }
  }

  session(address: string): HeardSession {
    const session = this.sessions.get(address);
    assert.ok(session, `no session with ${address}: ${this.events}`);
    return session;
  }

  #message(type: number, body: Buffer): void {
    if (this.events.length === 0) assert.equal(type, 4, "Initiation comes first");
    assert.ok(!this.events.some(event => event.startsWith("termination")), "nothing after Termination");
    if (type === 4) this.#initiation(body);
    else if (type === 5) this.#termination(body);
    else this.#aboutPeer(type, readPeer(body.subarray(0, PEER_HEADER)), body.subarray(PEER_HEADER));
  }

  #aboutPeer(type: number, peer: HeardPeer, rest: Buffer): void {
    if (type === 3) {
      this.#up(peer, rest);
      return;
    }
    const session = this.session(peer.address);
    assert.deepEqual([peer.asn, peer.routerId], [session.peer.asn, session.peer.routerId]);
    if (type === 0) this.#route(session, peer, rest);
    else if (type === 1) this.#statistics(session, rest);
    else this.#down(peer, rest);
  }

  #initiation(body: Buffer): void {
    assert.equal(this.events.length, 0, "once");
    for (const [type, value] of informationOf(body)) this.system.set(type, value.toString());
    assert.deepEqual([...this.system.keys()].sort(), [1, 2]);
    this.events.push("initiation");
  }

  #termination(body: Buffer): void {
    const reason = new Map(informationOf(body)).get(1);
    assert.equal(reason?.length, 2);
    this.events.push(`termination ${reason.readUInt16BE()}`);
  }

  #up(peer: HeardPeer, body: Buffer): void {
    assert.ok(!this.sessions.has(peer.address), `${peer.address} is up already`);
    assert.equal(peer.flags & 0x40, 0, "no L flag");
    const localAddress = readAddress(body.subarray(0, 16), (peer.flags & 0x80) !== 0);
    const sentEnd = 20 + body.readUInt16BE(20 + 16);
    const receivedEnd = sentEnd + body.readUInt16BE(sentEnd + 16);
    assert.equal(receivedEnd, body.length);
    this.sessions.set(peer.address, {
      peer,
      localAddress,
      localPort: body.readUInt16BE(16),
      remotePort: body.readUInt16BE(18),
      sentOpen: decodeOpen(bgpBody(body.subarray(20, sentEnd), 1)),
      receivedOpen: decodeOpen(bgpBody(body.subarray(sentEnd), 1)),
      pre: new Map(),
      post: new Map(),
      endOfRib: [],
      statistics: new Map(),
    });
    this.events.push(`up ${peer.address}`);
  }

  #down(peer: HeardPeer, body: Buffer): void {
    const reason = body[0]!;
    const data = Buffer.from(body.subarray(1));
    if (reason === 1 || reason === 3) bgpBody(data, 3);
    else assert.equal(data.length, reason === 2 ? 2 : 0);
    this.sessions.delete(peer.address);
    this.downs.push({ address: peer.address, reason, data });
    this.events.push(`down ${peer.address} ${reason}`);
  }

  #statistics(session: HeardSession, body: Buffer): void {
    session.statistics.clear();
    let at = 4;
    for (let count = body.readUInt32BE(0); count > 0; count--) {
      const type = body.readUInt16BE(at);
      const length = body.readUInt16BE(at + 2);
      assert.equal(length, { 7: 8, 9: 11, 11: 4 }[type], `statistic ${type}`);
      const value = body.subarray(at + 4, at + 4 + length);
      const known = session.statistics.get(type) ?? [];
      known.push(length === 4 ? BigInt(value.readUInt32BE()) : value.readBigUInt64BE(length - 8));
      session.statistics.set(type, known);
      at += 4 + length;
    }
    assert.equal(at, body.length);
    this.events.push(`statistics ${session.peer.address}`);
  }

  #route(session: HeardSession, peer: HeardPeer, message: Buffer): void {
    const isPost = (peer.flags & 0x40) !== 0;
    const fourOctetAs = (peer.flags & 0x20) === 0;
    // What the neighbor has offered to send, and our OPEN takes.
    const addPath = addPathOf(session.sentOpen) && addPathOf(session.receivedOpen);
    const addPathReceive = addPath ? FAMILIES : [];
    const update = decodeUpdate(bgpBody(message, 2), { ebgp: false, fourOctetAs, addPathReceive });
    const table = isPost ? session.post : session.pre;
    if (isPost) assert.deepEqual(update.problems, []);
    const keys = (nlri: (typeof update.withdrawn)[number]) =>
      nlri.addPath ? Array.from(nlri.entries(), ({ pathId }, i) => `${[...nlri][i]} ${pathId}`) : [...nlri];
    for (const nlri of update.withdrawn) for (const key of keys(nlri)) table.delete(key);
    for (const { nlri, attributes } of update.announced)
      for (const key of keys(nlri)) table.set(key, attributeLine(attributes));
    if (update.endOfRib !== undefined) session.endOfRib.push(`${isPost ? "post" : "pre"} ${update.endOfRib}`);
  }
}

function addPathOf({ capabilities }: OpenMessage): boolean {
  return capabilities.some(({ kind }) => kind === "add-path");
}

function readPeer(header: Buffer): HeardPeer {
  assert.equal(header[0], 0, "a global instance peer");
  const flags = header[1]!;
  assert.equal(flags & 0x1f, 0, "reserved flags");
  assert.equal(header.readBigUInt64BE(2), 0n, "no distinguisher");
  const micros = header.readUInt32BE(38);
  assert.ok(micros < 1_000_000);
  return {
    flags,
    address: readAddress(header.subarray(10, 26), (flags & 0x80) !== 0),
    asn: header.readUInt32BE(26),
    routerId: [...header.subarray(30, 34)].join("."),
    at: header.readUInt32BE(34) * 1000 + micros / 1000,
  };
}

function readAddress(bytes: Buffer, isIpv6: boolean): string {
  if (!isIpv6) {
    assert.ok(bytes.subarray(0, 12).every(byte => byte === 0));
    return [...bytes.subarray(12)].join(".");
  }
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(":");
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

function* informationOf(body: Buffer): Generator<[number, Buffer]> {
  let at = 0;
  while (at < body.length) {
    const end = at + 4 + body.readUInt16BE(at + 2);
    assert.ok(end <= body.length);
    yield [body.readUInt16BE(at), body.subarray(at + 4, end)];
    at = end;
  }
}

/** The body of exactly one BGP message of this type. */
function bgpBody(message: Buffer, type: number): Buffer {
  assert.ok(
    message.subarray(0, 16).every(byte => byte === 0xff),
    "marker",
  );
  assert.equal(message.readUInt16BE(16), message.length);
  assert.equal(message[18], type);
  return message.subarray(19);
}
