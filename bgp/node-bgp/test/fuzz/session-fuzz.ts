/**
 * Random UPDATEs into a live session of a route reflector, under simulated time. After each one the session must be as RFC 7606 has it; and
 * the other client, which is told what came of it, must never be sent anything malformed: its copy of the table is built from the bytes it
 * gets and compared with the reflector's own.
 */

import assert from "node:assert/strict";
import { Family, type PathAttributes, Speaker } from "../../index.ts";
import { AttributeFlag, MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { encodeOpen } from "../../message/open.ts";
import { decodeUpdate } from "../../message/update.ts";
import { SimClock } from "../kit/sim-clock.ts";
import { SimNetwork } from "../kit/sim-network.ts";
import type { FuzzOptions } from "./codec-fuzz.ts";
import { CORPUS } from "./corpus.ts";
import { Mutator, Random } from "./mutator.ts";
import { sessionVerdict } from "./update-oracle.ts";

const ASN = 65001;
const REFLECTOR = "10.99.0.1";
const FUZZER = "10.99.0.2";
const OBSERVER = "10.99.0.3";
const FAMILIES = Object.values(Family);
/** The two tables are compared each time so many inputs have passed. */
const COMPARE_EVERY = 500;

export interface SessionFuzzResult {
  readonly resets: number;
  /** UPDATEs the observer was sent. */
  readonly reflected: number;
}

export async function fuzzSession({ inputs, seed }: FuzzOptions): Promise<SessionFuzzResult> {
  const clock = new SimClock();
  const network = new SimNetwork(clock);
  const random = new Random(seed);
  const reflector = new Speaker({
    asn: ASN,
    routerId: REFLECTOR,
    clock,
    random: () => random.below(1000) / 1000,
    transport: network.host(REFLECTOR),
  });
  for (const address of [FUZZER, OBSERVER]) {
    reflector.addNeighbor({
      address,
      asn: ASN,
      passive: true,
      holdTime: 0,
      families: FAMILIES,
      reflectorClient: true,
      gracefulRestartTime: 0,
    });
  }
  await reflector.start();
  const isUp = (address: string) => reflector.neighbor(address)?.state === "Established";
  const observer = new Observer();
  const open = (address: string, onData: (bytes: Uint8Array) => void) => {
    const connection = network.connect(address, REFLECTOR);
    connection.setHandler({ onConnect: () => {}, onData, onDrain: () => {}, onClose: () => {} });
    const capabilities = [
      { kind: "multiprotocol", afi: 1, safi: 1 },
      { kind: "multiprotocol", afi: 2, safi: 1 },
      { kind: "four-octet-as", asn: ASN },
    ] as const;
    clock.advance(10);
    connection.write(
      frame(MessageType.open, encodeOpen({ asn: ASN, holdTime: 0, routerId: address, capabilities })),
    );
    connection.write(frame(MessageType.keepalive));
    clock.advance(10);
    assert.ok(isUp(address), `${address}: ${JSON.stringify(reflector.neighbor(address)?.lastError)}`);
    return connection;
  };

  open(OBSERVER, bytes => observer.onData(bytes));
  let fuzzer = open(FUZZER, () => {});
  const mutator = new Mutator(random, CORPUS);
  let resets = 0;
  for (let i = 0; i < inputs; i++) {
    const body = mutator.next();
    fuzzer.write(frame(MessageType.update, body));
    clock.advance(2);
    const expected = sessionVerdict(body);
    const outcome = isUp(FUZZER) ? "lives" : "reset";
    const where = `input ${i} of seed ${seed}: ${Buffer.from(body).toString("hex")}`;
    if (expected !== "either") assert.equal(outcome, expected, where);
    assert.ok(isUp(OBSERVER), `the observer's session has ended after ${where}`);
    if (outcome === "reset") {
      resets++;
      // The idle hold time doubles with every failure, up to a minute.
      clock.advance(61_000);
      fuzzer = open(FUZZER, () => {});
    }
    if (i % COMPARE_EVERY === COMPARE_EVERY - 1) observer.compare(reflector);
  }
  observer.compare(reflector);
  await reflector.stop();
  return { resets, reflected: observer.updates };
}

/** A client that believes nothing unread. */
class Observer {
  readonly #framer = new Framer();
  /** Attributes as JSON, by prefix. */
  readonly #routes = new Map<string, string>();
  updates = 0;

  onData(bytes: Uint8Array): void {
    this.#framer.push(bytes, (type, chunk, start, end) => {
      assert.notEqual(type, MessageType.notification, "the observer is sent a NOTIFICATION");
      if (type === MessageType.update) this.#onUpdate(chunk.subarray(start, end));
      return true;
    });
  }

  compare(reflector: Speaker): void {
    const told = [...this.#routes].map(entry => entry.join(" "));
    const advertised = [...reflector.advertised(OBSERVER)].map(
      route => `${route.prefix} ${comparable(route)}`,
    );
    assert.deepEqual(told.sort(), advertised.sort());
  }

  #onUpdate(body: Uint8Array): void {
    this.updates++;
    const update = decodeUpdate(body, { ebgp: false, fourOctetAs: true });
    assert.deepEqual(update.problems, [], Buffer.from(body).toString("hex"));
    for (const nlri of update.withdrawn) for (const prefix of nlri) this.#routes.delete(prefix);
    for (const { nlri, attributes } of update.announced) {
      for (const prefix of nlri) this.#routes.set(prefix, comparable(attributes));
    }
  }
}

const DESCRIPTIVE = new Set(["prefix", "family", "source", "sourceType", "nextHops", "stale"]);

/** What of a route is on the wire, in one order. The Partial bit is set on the way out (RFC 4271 5), so it tells nothing. */
function comparable(attributes: Partial<PathAttributes>): string {
  const unknown = attributes.unknown?.map(raw => ({ ...raw, flags: raw.flags & ~AttributeFlag.partial }));
  const entries = Object.entries({ ...attributes, unknown }).filter(
    ([name, value]) => value !== undefined && !DESCRIPTIVE.has(name),
  );
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}
