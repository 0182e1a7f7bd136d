/** What the mutator begins with: everything malformed the RFC names, and as much that is sound, with each attribute there is. */

import { MALFORMED_CASES, PREFIX, PREFIX6, SOUND, SOUND6, updateBody } from "../kit/rfc7606-cases.ts";

/** Sound by themselves, behind {@link SOUND} too. */
const OPTIONAL_ATTRIBUTES = [
  "800404 00000007",
  "400600",
  "c00708 0000fc000a630002",
  "c00808 fc000001ffffff01",
  "800904 0a630009",
  "800a08 0a6300070a630001",
  "c01008 0002fc0000000001",
  "c0200c 0000fc000000000100000002",
  "c063020102",
  "e063020102",
] as const;

const SOUND_BODIES = [
  updateBody({ attributes: "", nlri: "" }),
  updateBody({ attributes: "", nlri: "", withdrawn: `${PREFIX} 08 0a` }),
  updateBody({ attributes: "800f03 0002 01", nlri: "" }),
  updateBody({ attributes: `800f08 0002 01 ${PREFIX6}`, nlri: "" }),
  ...[SOUND, SOUND6].flatMap((sound, isIpv6) => {
    const nlri = isIpv6 === 1 ? "" : `${PREFIX} 20 0a010203 00 11 0a0180`;
    const alone = OPTIONAL_ATTRIBUTES.map(attribute =>
      updateBody({ attributes: `${sound} ${attribute}`, nlri }),
    );
    const all = OPTIONAL_ATTRIBUTES.slice(0, -1).join(" ");
    return [...alone, updateBody({ attributes: `${sound} ${all}`, nlri })];
  }),
];

const malformed = MALFORMED_CASES.map(updateBody);
export const CORPUS: readonly Uint8Array[] = [
  ...malformed,
  ...Array.from({ length: malformed.length }, (_, i) => SOUND_BODIES[i % SOUND_BODIES.length]!),
];
