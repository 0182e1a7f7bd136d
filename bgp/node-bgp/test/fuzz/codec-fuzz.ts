/** Random bytes into every decoder: each answers or throws a {@link MessageError}, and UPDATEs cost the session only where they must. */

import { MessageError } from "../../errors.ts";
import { Framer } from "../../message/framing.ts";
import { decodeNotification, describeNotification } from "../../message/notification.ts";
import { decodeOpen } from "../../message/open.ts";
import { decodeRouteRefresh } from "../../message/route-refresh.ts";
import { decodeUpdate, encodeUpdate } from "../../message/update.ts";
import { CORPUS } from "./corpus.ts";
import { Mutator, Random } from "./mutator.ts";
import { ScannerOracle } from "./scanner-oracle.ts";
import { sessionVerdict } from "./update-oracle.ts";

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
}

export interface CodecFuzzResult {
  readonly resets: number;
  /** UPDATEs the scanner of the hot path took. */
  readonly scanned: number;
}

/** Throws at the first input that is answered wrongly; it says which. */
export function fuzzCodec({ inputs, seed }: FuzzOptions): CodecFuzzResult {
  const random = new Random(seed);
  const mutator = new Mutator(random, CORPUS);
  const scanner = new ScannerOracle();
  let resets = 0;
  let scanned = 0;
  for (let i = 0; i < inputs; i++) {
    if (i % 8 === 7) {
      fuzzOthers(random, i);
      continue;
    }
    const body = mutator.next();
    const context = { ebgp: random.below(2) === 0, fourOctetAs: random.below(4) !== 0 };
    const outcome = attempt(() => {
      const update = decodeUpdate(body, context);
      // What has been understood can be said again.
      encodeUpdate(update, { fourOctetAs: true });
      return "lives";
    }, body);
    if (attempt(() => scanner.check(body, context.ebgp), body) === true) scanned++;
    const expected = sessionVerdict(body);
    if (outcome === "reset") resets++;
    if (expected !== "either" && outcome !== expected) {
      throw new Error(`input ${i} of seed ${seed}: ${outcome}, not ${expected}: ${hex(body)}`);
    }
  }
  return { resets, scanned };
}

function fuzzOthers(random: Random, index: number): void {
  const bytes = random.bytes(random.below(index % 3 === 0 ? 300 : 40));
  attempt(() => decodeOpen(bytes), bytes);
  attempt(() => describeNotification(decodeNotification(bytes)), bytes);
  attempt(() => decodeRouteRefresh(bytes), bytes);
  // A stream with a believable header in front, cut at random places.
  const stream = new Uint8Array(19 + bytes.length).fill(255, 0, 16);
  stream.set(bytes, 19);
  stream[17] = random.below(4) === 0 ? random.below(256) : stream.length;
  stream[18] = 1 + random.below(6);
  const framer = new Framer();
  const cut = random.below(stream.length + 1);
  attempt(() => {
    framer.push(stream.subarray(0, cut), () => true);
    framer.push(stream.subarray(cut), () => true);
  }, stream);
}

/** What the action answers; `reset` for a {@link MessageError}. */
function attempt<T>(action: () => T, bytes: Uint8Array): T | "reset" {
  try {
    return action();
  } catch (error) {
    if (error instanceof MessageError) return "reset";
    throw new Error(`not what is answered to ${hex(bytes)}`, { cause: error });
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
