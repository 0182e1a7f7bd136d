/**
 * Takes what one neighbor sends into the RIBs: loop checks once per attribute set, the import policy once per set where it can be prepared and
 * once per route where it is a plain function.
 *
 * UPDATEs come in one of two forms: scanned in place, which is the usual one and makes no object, or decoded, which is everything unusual. Both
 * end as an attribute set and a list of prefixes in bytes.
 */

import { afiSafiOf } from "../message/constants.ts";
import type { Update } from "../message/update.ts";
import type { UpdateScanner } from "../message/update-scanner.ts";
import type { PolicyAnswer, PreparedPolicy, RoutePolicy } from "../neighbor.ts";
import { acceptAll, rejectAll } from "../policy/constant.ts";
import { FAMILIES, type Family, type PathAttributes, type Route } from "../route.ts";
import type { AttributeTable } from "./attribute-table.ts";
import {
  askPolicy,
  attributesOf,
  type ImportContext,
  importRefusal,
  isLeaving,
  LoopCheck,
} from "./import.ts";
import type { NlriRange, Rib } from "./rib.ts";

/** A policy's answers for one attribute set. */
interface Prepared {
  readonly policy: PreparedPolicy;
  /** The set for each answer; 0: refused. */
  readonly sets: Map<PolicyAnswer, number>;
}

const PREPARED_KEPT = 256;
/** In the place of a set: the policy must be asked about each prefix. */
const PER_PREFIX = -1;
const NO_FAMILY = 0;

export class Importer {
  readonly #sets: AttributeTable;
  readonly #ribs: ReadonlyMap<Family, Rib>;
  /** By AFI. */
  readonly #ribOf: readonly (Rib | undefined)[];
  readonly #source: number;
  readonly #context: ImportContext;
  readonly #policy: RoutePolicy | undefined;
  readonly #loops: LoopCheck;
  readonly #prepared = new Map<number, Prepared>();
  readonly #address = new Uint8Array(16);
  /** What is prepared holds for this {@link AttributeTable.epoch}. */
  #epoch = 0;

  constructor(options: {
    sets: AttributeTable;
    ribs: ReadonlyMap<Family, Rib>;
    source: number;
    context: ImportContext;
  }) {
    const { sets, ribs, source, context } = options;
    this.#sets = sets;
    this.#ribs = ribs;
    this.#ribOf = [0, 1, 2].map(afi => ribs.get(FAMILIES.find(family => afiSafiOf(family).afi === afi)!));
    this.#source = source;
    this.#context = context;
    this.#policy = context.policy === acceptAll ? undefined : context.policy;
    this.#loops = new LoopCheck(context);
  }

  /** A sound UPDATE, scanned where it lies. By AFI: whether its announcements count, and whether prefixes have path identifiers. */
  scanned(
    update: UpdateScanner,
    bytes: Uint8Array,
    isTaken: readonly boolean[],
    addPath: readonly boolean[],
  ): void {
    const { attributes, announces } = update;
    const { reachAfi, unreachAfi } = attributes;
    if (update.withdrawnEnd > update.withdrawnAt) {
      const { withdrawnAt: start, withdrawnEnd: end } = update;
      this.#ribOf[1]!.removeAll({ bytes, start, end, addPath: addPath[1]! }, this.#source);
    }
    if (unreachAfi !== NO_FAMILY) {
      const { unreachNlriAt: start, unreachNlriEnd: end } = attributes;
      this.#ribOf[unreachAfi]!.removeAll({ bytes, start, end, addPath: addPath[unreachAfi]! }, this.#source);
    }
    const afi = reachAfi === NO_FAMILY ? 1 : reachAfi;
    if (!announces || !isTaken[afi]) return;
    const start = reachAfi === NO_FAMILY ? update.nlriAt : attributes.reachNlriAt;
    const end = reachAfi === NO_FAMILY ? update.nlriEnd : attributes.reachNlriEnd;
    const nlri = { bytes, start, end, addPath: addPath[afi]! };
    const rib = this.#ribOf[afi]!;
    if (this.#loops.refuses(attributes)) {
      rib.removeAll(nlri, this.#source);
      return;
    }
    let set = this.#sets.intern(this.#source, attributes);
    if (isLeaving(attributes.traits, this.#context)) set = this.#lastResort(this.#sets.attributesOf(set));
    this.#announce(rib, nlri, set);
  }

  decoded(update: Update, isTaken: (family: Family) => boolean): void {
    for (const { family, bytes, addPath } of update.withdrawn) {
      const nlri = { bytes, start: 0, end: bytes.length, addPath };
      this.#ribs.get(family)!.removeAll(nlri, this.#source);
    }
    for (const { nlri, attributes } of update.announced) {
      const { family, bytes, addPath } = nlri;
      if (!isTaken(family)) continue;
      const rib = this.#ribs.get(family)!;
      const list = { bytes, start: 0, end: bytes.length, addPath };
      let set = 0;
      if (importRefusal(attributes, this.#context) === undefined) {
        set = this.#sets.internAttributes(this.#source, attributes);
        if (set !== 0 && isLeaving(this.#sets.traitsOf(set), this.#context))
          set = this.#lastResort(attributes);
      }
      if (set === 0) rib.removeAll(list, this.#source);
      else this.#announce(rib, list, set);
    }
  }

  #lastResort(attributes: PathAttributes): number {
    this.#sets.released++;
    return this.#sets.internAttributes(this.#source, { ...attributes, localPref: 0 });
  }

  #announce(rib: Rib, nlri: NlriRange, received: number): void {
    const accepted = this.#acceptAny(rib, received);
    // As received it may be referred to by nobody.
    if (accepted !== received) this.#sets.released++;
    const keeps = this.#context.keepsReceived === true && accepted !== received;
    if (accepted > 0 && !keeps) rib.putAll(nlri, accepted);
    else if (accepted === 0 && !keeps) rib.removeAll(nlri, this.#source);
    else {
      for (const { id, pathId } of rib.idsOf(nlri)) {
        const set = accepted === PER_PREFIX ? this.#acceptOne(rib, id, received) : accepted;
        if (keeps) rib.paths.putKept(id, set, received, pathId);
        else if (set !== 0) rib.paths.put(id, set, pathId);
        else {
          rib.paths.remove(id, this.#source, pathId);
          // Decided once more only so that its id is given back.
          rib.touch(id);
        }
      }
    }
  }

  /** What the policy makes of a received set for one prefix; 0: it is refused. */
  accept(rib: Rib, id: number, received: number): number {
    const accepted = this.#acceptAny(rib, received);
    return accepted === PER_PREFIX ? this.#acceptOne(rib, id, received) : accepted;
  }

  /** The set that every prefix gets: 0 where the policy refuses all, {@link PER_PREFIX} where it must be asked. */
  #acceptAny(rib: Rib, received: number): number {
    if (this.#policy === undefined) return received;
    if (this.#policy === rejectAll) return 0;
    if (this.#policy.prepare === undefined) return PER_PREFIX;
    const { policy, sets } = this.#prepare(rib, received);
    return policy.answer === undefined ? PER_PREFIX : this.#setOf(sets, policy.answer);
  }

  #acceptOne(rib: Rib, id: number, received: number): number {
    if (this.#policy!.prepare === undefined) return this.#askFunction(rib, id, received);
    const { policy, sets } = this.#prepare(rib, received);
    const length = rib.prefixes.read(id, this.#address);
    return this.#setOf(sets, policy.decide(this.#address, 0, length));
  }

  #prepare(rib: Rib, received: number): Prepared {
    const { family } = rib;
    if (this.#epoch !== this.#sets.epoch || this.#prepared.size >= PREPARED_KEPT) {
      this.#epoch = this.#sets.epoch;
      this.#prepared.clear();
    }
    // A set may serve both families (RFC 8950).
    const key = rib.prefixes.size === 4 ? received : -received;
    const known = this.#prepared.get(key);
    if (known !== undefined) return known;
    const attributes = this.#sets.attributesOf(received);
    const { address: source, type: sourceType } = this.#context.neighbor;
    const policy = this.#policy!.prepare!({ attributes, family, source, sourceType }, this.#context.neighbor);
    const prepared: Prepared = {
      policy,
      sets: new Map<PolicyAnswer, number>([
        [null, 0],
        [attributes, received],
      ]),
    };
    this.#prepared.set(key, prepared);
    return prepared;
  }

  #setOf(sets: Map<PolicyAnswer, number>, answer: PolicyAnswer): number {
    const known = sets.get(answer);
    if (known !== undefined) return known;
    const { nextHopMode: _, ...attributes } = answer!;
    const set = this.#sets.internAttributes(this.#source, attributes);
    sets.set(answer, set);
    return set;
  }

  #askFunction(rib: Rib, id: number, received: number): number {
    const { attributes, nextHops } = this.#sets.decode(received);
    const { neighbor } = this.#context;
    const route: Route = {
      ...attributes,
      prefix: rib.prefixes.format(id),
      family: rib.family,
      source: neighbor.address,
      sourceType: neighbor.type,
      nextHops,
      stale: false,
    };
    const result = askPolicy(this.#policy!, route, neighbor);
    if (result === null) return 0;
    return result === route ? received : this.#sets.internAttributes(this.#source, attributesOf(result));
  }
}
