/** Control packets for properties. */

import fc from "fast-check";
import { SessionState } from "../../bfd/constants.ts";
import type { ControlPacket } from "../../bfd/control-packet.ts";

const uint32 = fc.integer({ min: 0, max: 0xffffffff });

/** What encodes to something that decodes again. */
export const anyPacket: fc.Arbitrary<ControlPacket> = fc.record(
  {
    diagnostic: fc.integer({ min: 0, max: 31 }),
    state: fc.constantFrom(...Object.values(SessionState)),
    poll: fc.boolean(),
    final: fc.boolean(),
    controlPlaneIndependent: fc.boolean(),
    authenticated: fc.constant(false),
    demand: fc.boolean(),
    multiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    yourDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    desiredMinTx: uint32,
    requiredMinRx: uint32,
    requiredMinEchoRx: uint32,
  },
  { noNullPrototype: true },
);
