/**
 * MRT files, record by record, from a stream cut anywhere.
 *
 * A record says its own length, so one that cannot be read costs nothing but itself: it comes out as a `bad` record with its position, and reading goes
 * on behind it. Memory is one record, whatever the size of the file; RIPE's and RouteViews' dumps of a full table are read as
 * they are unpacked.
 */

import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { decodeBgp4mp } from "./bgp4mp.ts";
import { Cursor, RecordError } from "./cursor.ts";
import { type MrtBadRecord, type MrtPeer, type MrtRecord, MrtType } from "./record.ts";
import { decodeTableDump, decodeTableDumpV2 } from "./table-dump.ts";

export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

const HEADER = 12;
/** Nothing real comes near; a length beyond is a file that is no MRT, or is no longer read at a record's start. */
const MAX_RECORD = 1 << 26;

/** Reads a stream of uncompressed MRT. Breaking out of the loop ends the source too. */
export async function* readMrt(source: ByteSource): AsyncGenerator<MrtRecord> {
  const parser = new MrtParser();
  for await (const chunk of source) yield* parser.push(chunk);
  yield* parser.end();
}

/** The bytes of a file, unpacked where its name ends in `.gz`. Node.js has no bzip2: unpack `.bz2` files before. */
export function readMrtFile(path: string): AsyncGenerator<MrtRecord> {
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  if (!path.endsWith(".gz")) return readMrt(file);
  const unzip = createGunzip({ chunkSize: 1 << 18 });
  file.on("error", error => unzip.destroy(error));
  unzip.on("close", () => file.destroy());
  return readMrt(file.pipe(unzip));
}

/** For those who have the bytes at hand: {@link readMrt} without the waiting. */
export class MrtParser {
  #held = new Uint8Array(1 << 16);
  #start = 0;
  #end = 0;
  /** Of `#start` in the stream. */
  #position = 0;
  #isLost = false;
  #peers: readonly MrtPeer[] = [];

  /** The records that are whole with this chunk. */
  *push(chunk: Uint8Array): Generator<MrtRecord> {
    if (this.#isLost) return;
    this.#append(chunk);
    while (this.#end - this.#start >= HEADER) {
      const head = new Cursor(this.#held.subarray(this.#start, this.#start + HEADER));
      const at = head.u32() * 1000;
      const mrtType = head.u16();
      const subtype = head.u16();
      const length = head.u32();
      const position = this.#position;
      if (length > MAX_RECORD) {
        this.#isLost = true;
        const text = `a length of ${length} bytes: this is not the start of a record, and nothing behind it is read`;
        yield { type: "bad", at, position, mrtType, subtype, text };
        return;
      }
      if (this.#end - this.#start < HEADER + length) return;
      const bodyAt = this.#start + HEADER;
      // Records keep parts of the body, and the buffer is used again.
      const body = this.#held.slice(bodyAt, bodyAt + length);
      this.#start += HEADER + length;
      this.#position += HEADER + length;
      yield this.#decode({ at, position, mrtType, subtype }, body);
    }
  }

  /** Nothing more comes: what is left over is a record cut off. */
  *end(): Generator<MrtBadRecord> {
    const left = this.#end - this.#start;
    if (left === 0 || this.#isLost) return;
    const head = new Cursor(this.#held.subarray(this.#start, this.#end));
    const has = left >= HEADER;
    const at = has ? head.u32() * 1000 : 0;
    const mrtType = has ? head.u16() : 0;
    const subtype = has ? head.u16() : 0;
    const text = `the stream ends ${left} bytes into the record`;
    yield { type: "bad", at, position: this.#position, mrtType, subtype, text };
  }

  #decode(head: RecordHead, body: Uint8Array): MrtRecord {
    try {
      const record = decodeBody(head, body, this.#peers);
      if (record.type === "peers") this.#peers = record.peers;
      return record;
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      return { type: "bad", ...head, text: error.message };
    }
  }

  #append(chunk: Uint8Array): void {
    const left = this.#end - this.#start;
    if (this.#end + chunk.length > this.#held.length) {
      let size = this.#held.length;
      while (size < left + chunk.length) size *= 2;
      const next = size === this.#held.length ? this.#held : new Uint8Array(size);
      next.set(this.#held.subarray(this.#start, this.#end));
      this.#held = next;
      this.#start = 0;
      this.#end = left;
    }
    this.#held.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}

export interface RecordHead {
  readonly at: number;
  readonly position: number;
  readonly mrtType: number;
  readonly subtype: number;
}

function decodeBody(head: RecordHead, body: Uint8Array, peers: readonly MrtPeer[]): MrtRecord {
  const { mrtType, subtype, ...base } = head;
  const cursor = new Cursor(body);
  let record: MrtRecord | undefined;
  switch (mrtType) {
    case MrtType.tableDump:
      record = decodeTableDump(subtype, base, cursor);
      break;
    case MrtType.tableDumpV2:
      record = decodeTableDumpV2(subtype, base, cursor, peers);
      break;
    case MrtType.bgp4mp:
      record = decodeBgp4mp(subtype, base, cursor);
      break;
    case MrtType.bgp4mpEt: {
      const microseconds = cursor.u32();
      record = decodeBgp4mp(subtype, { ...base, at: base.at + microseconds / 1000 }, cursor);
    }
  }
  return record ?? { type: "unsupported", ...head, body };
}
