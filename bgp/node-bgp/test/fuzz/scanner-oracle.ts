/**
 * The scanner of the hot path held to the decoder: what it accepts, the decoder reads without a complaint, as the same prefixes and as the same
 * attributes. (What it does not accept goes to the decoder anyway.)
 */

import assert from "node:assert/strict";
import { decodeUpdate, type Update } from "../../message/update.ts";
import { UpdateScanner } from "../../message/update-scanner.ts";
import { AttributeTable } from "../../rib/attribute-table.ts";
import type { PathAttributes } from "../../route.ts";

const OUR_ASN = 65001;
const OUR_CLUSTER = 0x0a630001;
/** A new table each time so many sets were interned: sweeping is not what is tested here. */
const SETS_KEPT = 10_000;

export class ScannerOracle {
  readonly #scanner = new UpdateScanner();
  #sets = new AttributeTable();

  /** Whether the scanner has accepted it. Throws where the two do not agree. */
  check(body: Uint8Array, ebgp: boolean): boolean {
    const scanner = this.#scanner;
    // Somewhere inside a chunk, as in life.
    const at = 5;
    const chunk = new Uint8Array(at + body.length + 3).fill(0xa5);
    chunk.set(body, at);
    const context = {
      ebgp,
      fourOctetAs: true,
      localAsn: OUR_ASN,
      clusterId: OUR_CLUSTER,
      ipv6NextHop: false,
      addPathIpv4: false,
      addPathIpv6: false,
    };
    if (!scanner.scan(chunk, at, at + body.length, context)) return false;
    const update = decodeUpdate(body, { ebgp, fourOctetAs: true });
    assert.deepEqual(update.problems, []);
    assert.equal(
      scanner.endOfRibAfi,
      { "ipv4-unicast": 1, "ipv6-unicast": 2 }[update.endOfRib as string] ?? 0,
    );
    this.#comparePrefixes(update, chunk);
    assert.equal(scanner.announces, update.announced.length > 0);
    const [announcement] = update.announced;
    if (announcement !== undefined) {
      assert.equal(update.announced.length, 1);
      this.#compareAttributes(announcement.attributes);
    }
    return true;
  }

  #comparePrefixes(update: Update, chunk: Uint8Array): void {
    const { withdrawnAt, withdrawnEnd, nlriAt, nlriEnd, attributes } = this.#scanner;
    const { reachAfi, reachNlriAt, reachNlriEnd, unreachAfi, unreachNlriAt, unreachNlriEnd } = attributes;
    const field = (start: number, end: number) => Buffer.from(chunk.subarray(start, end)).toString("hex");
    const list = (lists: readonly { readonly bytes: Uint8Array }[]) =>
      lists.map(({ bytes }) => Buffer.from(bytes).toString("hex")).join("");
    const reach = reachAfi === 0 ? "" : field(reachNlriAt, reachNlriEnd);
    const unreach = unreachAfi === 0 ? "" : field(unreachNlriAt, unreachNlriEnd);
    assert.equal(field(withdrawnAt, withdrawnEnd) + unreach, list(update.withdrawn));
    assert.equal(reach + field(nlriAt, nlriEnd), list(update.announced.map(({ nlri }) => nlri)));
  }

  #compareAttributes(expected: PathAttributes): void {
    const { attributes } = this.#scanner;
    if (this.#sets.size > SETS_KEPT) this.#sets = new AttributeTable();
    const set = this.#sets.intern(1, attributes);
    assert.deepEqual(plain(this.#sets.attributesOf(set)), plain(expected));
    assert.equal(this.#sets.intern(1, attributes), set, "the same bytes are the same set");
    const hops = expected.asPath.flatMap(({ type, asns }) =>
      type === "sequence" ? asns.length : type === "set" ? 1 : 0,
    );
    assert.equal(
      attributes.asPathLength,
      hops.reduce((sum, length) => sum + length, 0),
    );
    assert.equal(attributes.med, expected.med ?? 0);
    assert.equal(attributes.clusterListLength, expected.clusterList?.length ?? 0);
    assert.equal(attributes.hasOwnCluster, expected.clusterList?.includes("10.99.0.1") ?? false);
    const own = expected.asPath.flatMap(({ asns }) => asns).filter(asn => asn === OUR_ASN);
    assert.equal(attributes.ownAsCount, own.length);
  }
}

/** Without properties that are undefined, which says the same as absent. */
function plain(attributes: PathAttributes): object {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}
