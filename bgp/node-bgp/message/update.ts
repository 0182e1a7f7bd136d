/**
 * UPDATE (RFC 4271 4.3, 4760): structure, and RFC 7606's verdict on the whole message.
 *
 * An UPDATE is lists of prefixes, each with the attributes that go with it. A message with a `withdraw` problem comes out with its
 * announced prefixes among the withdrawn ones, so a caller that only applies `withdrawn` and `announced` is right.
 */

import { readUint16 } from "../address.ts";
import { MessageError } from "../errors.ts";
import { Family, type PathAttributes } from "../route.ts";
import {
  type AttributeContext,
  type DecodedAttributes,
  decodeAttributes,
  type UpdateProblem,
} from "./attribute-decoder.ts";
import { encodeAttributes, encodeNextHop } from "./attribute-encoder.ts";
import { NotificationCode, UpdateError } from "./constants.ts";
import { Nlri } from "./nlri.ts";
import { UpdatePacker } from "./update-packer.ts";
import { Writer } from "./writer.ts";

export interface Announcement {
  readonly nlri: Nlri;
  readonly attributes: PathAttributes;
}

export interface Update {
  readonly withdrawn: readonly Nlri[];
  readonly announced: readonly Announcement[];
  /** The neighbor has sent everything it had (RFC 4724 2). */
  readonly endOfRib?: Family;
  /** Empty for a sound message. */
  readonly problems: readonly UpdateProblem[];
}

const HAS_NOTHING: readonly never[] = [];
const NO_BYTES = new Uint8Array(0);

/**
 * Reads the body of an UPDATE. Throws {@link MessageError} only where the session must be reset. The NLRI refer to
 * `body`; attributes do not.
 */
export function decodeUpdate(body: Uint8Array, context: AttributeContext): Update {
  if (body.length < 4) throw listError("UPDATE is cut off");
  const withdrawnLength = readUint16(body, 0);
  if (withdrawnLength + 4 > body.length) throw listError("withdrawn routes run out of the UPDATE");
  const attributesAt = 2 + withdrawnLength + 2;
  const attributesLength = readUint16(body, 2 + withdrawnLength);
  if (attributesAt + attributesLength > body.length) throw listError("path attributes run out of the UPDATE");

  const { addPathReceive = [] } = context;
  const addPath = addPathReceive.includes(Family.ipv4Unicast);
  const withdrawn: Nlri[] = [];
  if (withdrawnLength > 0) withdrawn.push(ipv4Nlri(body.subarray(2, 2 + withdrawnLength), addPath));
  const nlri = ipv4Nlri(body.subarray(attributesAt + attributesLength), addPath);
  if (attributesLength === 0) {
    if (nlri.count > 0) return missing(nlri, withdrawn);
    const endOfRib = withdrawnLength === 0 ? { endOfRib: Family.ipv4Unicast } : {};
    return { withdrawn, announced: HAS_NOTHING, problems: HAS_NOTHING, ...endOfRib };
  }
  const decoded = decodeAttributes(body.subarray(attributesAt, attributesAt + attributesLength), context);
  return assemble(decoded, nlri, withdrawn, addPathReceive);
}

function assemble(
  decoded: DecodedAttributes,
  nlri: Nlri,
  withdrawn: Nlri[],
  addPathReceive: readonly Family[],
): Update {
  const problems = decoded.problems;
  const reachable: Announcement[] = [];
  const { reach, unreach } = decoded;
  let disabled = problems.some(({ action }) => action === "disable-family");

  if (unreach !== undefined) {
    const list = Nlri.parse(unreach.family, unreach.nlri, addPathReceive.includes(unreach.family));
    if (list === undefined) {
      problems.push(brokenNlri(15, unreach.family));
      disabled = true;
    } else if (list.count > 0) withdrawn.push(list);
    else if (!decoded.hasOther && nlri.count === 0 && withdrawn.length === 0) {
      return { withdrawn, announced: HAS_NOTHING, problems, endOfRib: unreach.family };
    }
  }
  const mandatory = decoded.hasReach || nlri.count > 0;
  if (mandatory) complainAboutMissing(decoded, nlri.count > 0);
  const attributes = decoded.values as PathAttributes;
  if (reach !== undefined) {
    const list = Nlri.parse(reach.family, reach.nlri, addPathReceive.includes(reach.family));
    if (list === undefined) {
      problems.push(brokenNlri(14, reach.family));
      disabled = true;
    } else if (list.count > 0) {
      const { nextHop, linkLocalNextHop } = reach;
      const own = { ...attributes, nextHop, ...(linkLocalNextHop === undefined ? {} : { linkLocalNextHop }) };
      reachable.push({ nlri: list, attributes: own });
    }
  }
  if (nlri.count > 0) reachable.push({ nlri, attributes });

  const treatAsWithdraw = problems.some(({ action }) => action === "withdraw");
  if (treatAsWithdraw && !decoded.hasReach && nlri.count === 0) {
    // RFC 7606 5.2: the routes meant may have been in what could not be read.
    throw listError(problems.find(({ action }) => action === "withdraw")!.text);
  }
  if (!treatAsWithdraw && !disabled) return { withdrawn, announced: reachable, problems };
  const broken = new Set(problems.map(({ family }) => family));
  const lists = reachable.filter(({ nlri: list }) => treatAsWithdraw || broken.has(list.family));
  return {
    withdrawn: [...withdrawn, ...lists.map(announcement => announcement.nlri)],
    announced: reachable.filter(announcement => !lists.includes(announcement)),
    problems,
  };
}

function complainAboutMissing(decoded: DecodedAttributes, needsNextHop: boolean): void {
  const { values, problems } = decoded;
  const complain = (attribute: number, name: string) => {
    // An attribute that was there and malformed has been complained about already.
    if (problems.some(problem => problem.attribute === attribute)) return;
    problems.push({ action: "withdraw", attribute, text: `${name} is missing` });
  };
  if (values.origin === undefined) complain(1, "ORIGIN");
  if (values.asPath === undefined) complain(2, "AS_PATH");
  if (needsNextHop && values.nextHop === undefined) complain(3, "NEXT_HOP");
}

function missing(nlri: Nlri, withdrawn: readonly Nlri[]): Update {
  const problem: UpdateProblem = { action: "withdraw", attribute: 1, text: "no path attributes" };
  return { withdrawn: [...withdrawn, nlri], announced: HAS_NOTHING, problems: [problem] };
}

function brokenNlri(attribute: number, family: Family): UpdateProblem {
  return {
    action: "disable-family",
    attribute,
    text: `attribute ${attribute} has a malformed prefix`,
    family,
  };
}

function ipv4Nlri(bytes: Uint8Array, addPath: boolean): Nlri {
  const nlri = Nlri.parse(Family.ipv4Unicast, bytes, addPath);
  if (nlri !== undefined) return nlri;
  throw new MessageError(NotificationCode.update, UpdateError.invalidNetworkField, "malformed prefix");
}

function listError(text: string): MessageError {
  return new MessageError(NotificationCode.update, UpdateError.malformedAttributeList, text);
}

/** Complete messages, headers included, for `withdrawn` and then `announced`; as many as the prefixes need. */
export function encodeUpdate(
  update: { readonly withdrawn?: readonly Nlri[]; readonly announced?: readonly Announcement[] },
  context: { readonly fourOctetAs: boolean },
): Uint8Array {
  const writer = new Writer();
  for (const nlri of update.withdrawn ?? []) {
    const packer = new UpdatePacker(writer, nlri.family, { addPath: nlri.addPath });
    packer.beginWithdraw();
    packer.addAll(nlri);
    packer.end();
  }
  for (const { nlri, attributes } of update.announced ?? []) {
    const nextHop = encodeNextHop(attributes);
    const isClassic = nlri.family === Family.ipv4Unicast && (nextHop === undefined || nextHop.length === 4);
    const list = encodeAttributes(attributes, { fourOctetAs: context.fourOctetAs, withNextHop: isClassic });
    const packer = new UpdatePacker(writer, nlri.family, { addPath: nlri.addPath });
    packer.beginAnnounce(
      new Writer(list.length).bytes(list),
      isClassic ? undefined : new Writer(32).bytes(nextHop ?? NO_BYTES),
    );
    packer.addAll(nlri);
    packer.end();
  }
  return writer.copy();
}
