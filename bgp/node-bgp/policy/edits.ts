/** The `set` of a rule, compiled to a function on path attributes. Null where the route cannot be as the rule wants it. */

import { canonicalAddress, familyOfAddress } from "../address.ts";
import { OptionError } from "../errors.ts";
import { prependAll } from "../message/as-path.ts";
import type { PolicyAnswer, PolicyNeighbor } from "../neighbor.ts";
import { Family, Origin, type PathAttributes } from "../route.ts";
import {
  COMMUNITY_KINDS,
  type Community,
  type CommunityTest,
  parseCommunity,
  parseCommunityPatterns,
} from "./community.ts";
import { isUint32, listAt } from "./numbers.ts";
import type { Edits } from "./policy.ts";
import { readFields } from "./reading.ts";

/** Gives back the very attributes where it changes nothing. */
export type Edit = (
  attributes: NonNullable<PolicyAnswer>,
  family: Family,
  neighbor: PolicyNeighbor,
) => PolicyAnswer;

/** A change of the user's own, made of the value that stands in the policy. Must not depend on anything but its argument. */
export type CustomChange = (value: unknown) => (attributes: PathAttributes) => PathAttributes | null;

export interface EditOptions {
  readonly changes?: Readonly<Record<string, CustomChange>> | undefined;
}

const FIELDS: readonly (keyof Edits)[] = [
  "localPref",
  "med",
  "origin",
  "nextHop",
  "prepend",
  "communities",
  "custom",
];
const MAX_PREPEND = 255;

/** Throws {@link OptionError}, naming `path`. */
export function compileEdits(value: unknown, path: string, options: EditOptions): Edit {
  const given = readFields(value, path, FIELDS);
  const edits: Edit[] = [];
  const { localPref, med, origin, nextHop, prepend, communities, custom } = given;
  if (localPref !== undefined)
    edits.push(setter({ localPref: numberOrNone(localPref, `${path}.localPref`) }));
  if (med !== undefined) edits.push(setter({ med: numberOrNone(med, `${path}.med`) }));
  if (origin !== undefined) edits.push(setter({ origin: originOf(origin, `${path}.origin`) }));
  if (nextHop !== undefined) edits.push(nextHopEdit(nextHop, `${path}.nextHop`));
  if (prepend !== undefined) edits.push(prependEdit(prepend, `${path}.prepend`));
  if (communities !== undefined) edits.push(...communityEdits(communities, `${path}.communities`));
  if (custom !== undefined) edits.push(...customEdits(custom, `${path}.custom`, options));
  return (attributes, family, neighbor) => {
    let edited: PolicyAnswer = attributes;
    for (const edit of edits) {
      edited = edit(edited, family, neighbor);
      if (edited === null) return null;
    }
    return edited;
  };
}

function setter(part: Partial<PathAttributes>): Edit {
  const entries = Object.entries(part) as [keyof PathAttributes, unknown][];
  return attributes =>
    entries.every(([name, value]) => attributes[name] === value) ? attributes : { ...attributes, ...part };
}

function numberOrNone(value: unknown, path: string): number | undefined {
  if (value === null) return undefined;
  if (isUint32(value)) return value;
  throw new OptionError(path, value, "a whole number of 32 bits, or null to take it away");
}

function originOf(value: unknown, path: string): Origin {
  const known = Object.values(Origin);
  if (known.includes(value as Origin)) return value as Origin;
  throw new OptionError(path, value, `one of ${known.join(", ")}`);
}

function nextHopEdit(value: unknown, path: string): Edit {
  if (value === "self" || value === "keep")
    return attributes =>
      attributes.nextHopMode === value ? attributes : { ...attributes, nextHopMode: value };
  const nextHop = typeof value === "string" && !value.includes("%") ? canonicalAddress(value) : undefined;
  if (nextHop === undefined) throw new OptionError(path, value, "an address, self or keep");
  const isIpv4 = familyOfAddress(nextHop) === Family.ipv4Unicast;
  return (attributes, family) => {
    if (isIpv4 && family !== Family.ipv4Unicast) return null;
    // An address is the last word: an earlier rule's "self" no longer holds.
    return { ...attributes, nextHop, linkLocalNextHop: undefined, nextHopMode: undefined };
  };
}

function prependEdit(value: unknown, path: string): Edit {
  if (Array.isArray(value)) {
    listAt(value, path).forEach(([item, itemPath]) => {
      if (!isUint32(item) || item === 0) throw new OptionError(itemPath, item, "an AS number");
    });
    const asns = value as readonly number[];
    if (asns.length === 0) return attributes => attributes;
    return attributes => ({ ...attributes, asPath: prependAll(attributes.asPath, asns) });
  }
  if (!isUint32(value) || value > MAX_PREPEND)
    throw new OptionError(path, value, `how often (up to ${MAX_PREPEND}), or a list of AS numbers`);
  if (value === 0) return attributes => attributes;
  return (attributes, _family, { localAsn }) => ({
    ...attributes,
    asPath: prependAll(attributes.asPath, Array<number>(value).fill(localAsn)),
  });
}

function communityEdits(value: unknown, path: string): Edit[] {
  const { replace, remove, add } = readFields(value, path, ["replace", "remove", "add"]);
  const edits: Edit[] = [];
  if (replace !== undefined) {
    const values = communitiesOf(replace, `${path}.replace`);
    const kinds = COMMUNITY_KINDS.filter(kind => values.some(community => community.kind === kind));
    edits.push(attributes =>
      withCommunities(
        without(attributes, kinds, () => true),
        values,
      ),
    );
  }
  if (remove !== undefined) {
    const tests = parseCommunityPatterns(remove, `${path}.remove`);
    edits.push(attributes => removeMatching(attributes, tests));
  }
  if (add !== undefined) {
    const values = communitiesOf(add, `${path}.add`);
    edits.push(attributes => withCommunities(attributes, values));
  }
  return edits;
}

function communitiesOf(value: unknown, path: string): Community[] {
  return listAt(value, path).map(([item, itemPath]) => parseCommunity(item, itemPath));
}

type Attributes = NonNullable<PolicyAnswer>;

function withCommunities(attributes: Attributes, values: readonly Community[]): Attributes {
  let edited = attributes;
  for (const { kind, value } of values) {
    const present = edited[kind] ?? [];
    if (!present.includes(value)) edited = { ...edited, [kind]: [...present, value] };
  }
  return edited;
}

function removeMatching(attributes: Attributes, tests: readonly CommunityTest[]): Attributes {
  let edited = attributes;
  for (const { kind, test } of tests) edited = without(edited, [kind], test);
  return edited;
}

/** An attribute with no community left is none: on the wire it would be malformed (RFC 7606 7.8). */
function without(
  attributes: Attributes,
  kinds: readonly (typeof COMMUNITY_KINDS)[number][],
  test: (value: string) => boolean,
): Attributes {
  let edited = attributes;
  for (const kind of kinds) {
    const present = edited[kind];
    const left = present?.filter(value => !test(value));
    if (left?.length === present?.length) continue;
    edited = { ...edited, [kind]: left?.length === 0 ? undefined : left };
  }
  return edited;
}

function customEdits(value: unknown, path: string, { changes = {} }: EditOptions): Edit[] {
  const given = readFields(value, path, Object.keys(changes));
  return Object.entries(given).map(([name, argument]) => changes[name]!(argument));
}
