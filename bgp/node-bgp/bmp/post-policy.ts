/**
 * What a received UPDATE comes to behind loop checks and the import policy, as UPDATEs again: the post-policy view of BMP (RFC 7854 5). Made of the
 * message and not of the RIB, so that it costs nothing where nobody wants it; the rules are those of rib/importer.ts. Pure.
 */

import { formatPrefix, maskHostBits } from "../address.ts";
import { addressBytes } from "../message/constants.ts";
import { Nlri, type NlriEntry } from "../message/nlri.ts";
import { type Announcement, encodeUpdate, type Update } from "../message/update.ts";
import { Writer } from "../message/writer.ts";
import type { PolicyAnswer, RoutePolicy } from "../neighbor.ts";
import { acceptAll } from "../policy/constant.ts";
import { askPolicy, attributesOf, type ImportContext, importRefusal } from "../rib/import.ts";
import { type Family, type PathAttributes, type Route, WellKnownCommunity } from "../route.ts";

/** Complete messages, headers included; undefined where the UPDATE stands as it came. */
export function postPolicyUpdates(
  update: Update,
  context: ImportContext,
  { fourOctetAs }: { readonly fourOctetAs: boolean },
): Uint8Array | undefined {
  const withdrawn: Nlri[] = [...update.withdrawn];
  const announced: Announcement[] = [];
  let isChanged = update.problems.length > 0;
  for (const { nlri, attributes } of update.announced) {
    const answers = judge(nlri, attributes, context);
    if (answers.size === 1 && answers.has(attributes)) {
      announced.push({ nlri, attributes });
      continue;
    }
    isChanged = true;
    for (const [answer, entries] of answers) {
      const list = part(nlri, entries);
      if (answer === null) withdrawn.push(list);
      else announced.push({ nlri: list, attributes: answer });
    }
  }
  return isChanged ? encodeUpdate({ withdrawn, announced }, { fourOctetAs }) : undefined;
}

/** The prefixes by what becomes of their attributes; null: not taken. */
function judge(
  nlri: Nlri,
  attributes: PathAttributes,
  context: ImportContext,
): Map<PathAttributes | null, NlriEntry[]> {
  const entries = [...nlri.entries()];
  if (importRefusal(attributes, context) !== undefined) return new Map([[null, entries]]);
  const received = isLeaving(attributes, context) ? { ...attributes, localPref: 0 } : attributes;
  const { policy } = context;
  if (policy === undefined || policy === acceptAll) return new Map([[received, entries]]);
  const ask = asker(policy, received, nlri.family, context);
  const answers = new Map<PathAttributes | null, NlriEntry[]>();
  for (const entry of entries) {
    const answer = ask(addressOf(nlri, entry), entry.length);
    const list = answers.get(answer);
    if (list === undefined) answers.set(answer, [entry]);
    else list.push(entry);
  }
  return answers;
}

/** Equal answers are equal objects, as far as the policy says so. */
function asker(
  policy: RoutePolicy,
  attributes: PathAttributes,
  family: Family,
  { neighbor }: ImportContext,
): (address: Uint8Array, length: number) => PolicyAnswer {
  const { address: source, type: sourceType } = neighbor;
  const prepared = policy.prepare?.({ attributes, family, source, sourceType }, neighbor);
  if (prepared?.answer !== undefined) return () => prepared.answer!;
  if (prepared !== undefined) return (address, length) => prepared.decide(address, 0, length);
  const nextHops = attributes.nextHop === undefined ? [] : [attributes.nextHop];
  return (address, length) => {
    const prefix = formatPrefix({ family, address, length });
    const route: Route = { ...attributes, prefix, family, source, sourceType, nextHops, stale: false };
    const result = askPolicy(policy, route, neighbor);
    return result === route ? attributes : result && attributesOf(result);
  };
}

/** RFC 8326 4. */
function isLeaving({ communities }: PathAttributes, { gracefulShutdown, neighbor }: ImportContext): boolean {
  const isTold = communities?.includes(WellKnownCommunity.gracefulShutdown) ?? false;
  return gracefulShutdown || (neighbor.type === "external" && isTold);
}

function addressOf({ family, bytes }: Nlri, { offset, length }: NlriEntry): Uint8Array {
  const size = addressBytes(family);
  const address = new Uint8Array(size);
  address.set(bytes.subarray(offset, offset + ((length + 7) >> 3)));
  maskHostBits(address, 0, size, length);
  return address;
}

/** Some prefixes of a list, with their path identifiers. */
function part({ family, bytes, addPath }: Nlri, entries: readonly NlriEntry[]): Nlri {
  const writer = new Writer(entries.length * 8);
  for (const { offset, length } of entries)
    writer.bytes(bytes.subarray(offset - (addPath ? 5 : 1), offset + ((length + 7) >> 3)));
  return Nlri.parse(family, writer.copy(), addPath)!;
}
