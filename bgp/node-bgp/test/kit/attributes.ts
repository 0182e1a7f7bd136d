/** Arbitrary path attributes for property tests. */

import fc from "fast-check";
import { AttributeFlag } from "../../message/constants.ts";
import type { PathAttributes } from "../../route.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const uint32 = fc.nat(0xffffffff);
const asn = fc.integer({ min: 1, max: 0xffffffff });
const ipv4 = fc.ipV4();
const parts = (count: number, max: number) =>
  fc.array(fc.nat(max), { minLength: count, maxLength: count }).map(list => list.join(":"));
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: 1, maxLength: 5 });
/** Attributes of an IPv4 route, as they come back from the wire. */
export const anyAttributes: fc.Arbitrary<PathAttributes> = fc.record(
  {
    origin: fc.constantFrom("igp" as const, "egp" as const, "incomplete" as const),
    asPath: fc.array(
      fc.record(
        {
          type: fc.constantFrom("sequence" as const, "set" as const, "confed-sequence" as const),
          asns: some(asn),
        },
        { noNullPrototype: true },
      ),
      { maxLength: 3 },
    ),
    nextHop: fc.constantFrom("10.0.0.1", "192.0.2.77"),
    med: uint32,
    localPref: uint32,
    atomicAggregate: fc.constant(true),
    aggregator: fc.record({ asn, address: ipv4 }, { noNullPrototype: true }),
    communities: some(parts(2, 0xffff)),
    originatorId: ipv4,
    clusterList: some(ipv4),
    extendedCommunities: some(fc.uint8Array({ minLength: 8, maxLength: 8 }).map(hex)),
    largeCommunities: some(parts(3, 0xffffffff)),
    unknown: fc
      .uint8Array({ maxLength: 300 })
      .map(hex)
      .map(value => [
        {
          flags: AttributeFlag.optional | AttributeFlag.transitive | AttributeFlag.partial,
          type: 200,
          value,
        },
      ]),
  },
  { requiredKeys: ["origin", "asPath", "nextHop"], noNullPrototype: true },
);
