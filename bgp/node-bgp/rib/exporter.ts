/**
 * What the neighbors of one update group are told of a best path: which, by rule and policy, and in which bytes.
 *
 * A route the policy leaves alone is *told as* the RIB's own attribute set; what the protocol changes on the way (reflection, our
 * AS, next hop) is applied when it is encoded, once per set and batch. So the usual Adj-RIB-Out needs no sets of its own. Only what
 * a policy has changed is interned, ready to be sent as it stands.
 */

import { isDeepStrictEqual } from "node:util";
import { parseAddress, parseRouterId } from "../address.ts";
import { encodeAttributes, encodeNextHop } from "../message/attribute-encoder.ts";
import { MAX_EXTENDED_LENGTH, MAX_MESSAGE_LENGTH } from "../message/constants.ts";
import type { PackerOptions } from "../message/update-packer.ts";
import type { Writer } from "../message/writer.ts";
import type { PolicyAnswer, PolicyNeighbor, PreparedPolicy, RoutePolicy } from "../neighbor.ts";
import { acceptAll, rejectAll } from "../policy/constant.ts";
import { Family, type PathAttributes, type Route } from "../route.ts";
import type { AttributeTable } from "./attribute-table.ts";
import { type ExportTarget, exportAttributes, mayExport, ownNextHop } from "./export.ts";
import { askPolicy, attributesOf } from "./import.ts";
import type { PrefixTable } from "./prefix-table.ts";
import { writeInternal } from "./reflection.ts";
import type { Source, SourceTable } from "./source.ts";

/** What decides the group of a neighbor: the settings of the export, and the policy. */
export interface ExportRule {
  readonly target: ExportTarget;
  readonly policy: RoutePolicy | undefined;
  /** Given to the policy. */
  readonly neighbor: PolicyNeighbor;
  /** Neighbors of one name share a group although there is a policy. */
  readonly groupName: string | undefined;
}

/** A policy's answers for one attribute set. */
interface Prepared {
  readonly policy: PreparedPolicy;
  /** What each answer is told as. */
  readonly outs: Map<PolicyAnswer, number>;
}

const PREPARED_KEPT = 4096;

export class Exporter {
  readonly #sets: AttributeTable;
  readonly #sources: SourceTable;
  readonly #prefixes: PrefixTable;
  readonly #family: Family;
  readonly #rule: ExportRule;
  readonly #route: (id: number, set: number) => Route;
  readonly #policy: RoutePolicy | undefined;
  readonly #clusterId: number;
  readonly #ownNextHop: Uint8Array | undefined;
  readonly #prepared = new Map<number, Prepared>();
  readonly #address: Uint8Array;
  /** The last set looked at, and whether and as what it may be told without a policy: prefixes come in runs. */
  #lastSet = 0;
  #lastPlain = 0;
  /** What is remembered holds for this {@link AttributeTable.epoch}. */
  #epoch = 0;

  constructor(options: {
    sets: AttributeTable;
    sources: SourceTable;
    prefixes: PrefixTable;
    family: Family;
    rule: ExportRule;
    /** A route as the policy is shown it. */
    route: (id: number, set: number) => Route;
  }) {
    const { sets, sources, prefixes, family, rule, route } = options;
    this.#sets = sets;
    this.#sources = sources;
    this.#prefixes = prefixes;
    this.#family = family;
    this.#rule = rule;
    this.#route = route;
    this.#policy = rule.policy === acceptAll ? undefined : rule.policy;
    this.#clusterId = parseRouterId(rule.target.clusterId)!;
    const own = ownNextHop(family, rule.target);
    this.#ownNextHop = own === undefined ? undefined : parseAddress(own);
    this.#address = new Uint8Array(prefixes.size);
  }

  get target(): ExportTarget {
    return this.#rule.target;
  }

  /** How messages to these neighbors are made. */
  get packing(): PackerOptions {
    const { extendedMessages, addPaths } = this.#rule.target;
    return { maximum: extendedMessages ? MAX_EXTENDED_LENGTH : MAX_MESSAGE_LENGTH, addPath: addPaths > 0 };
  }

  /** Asking it about a prefix runs a function of the user's. */
  get hasPolicy(): boolean {
    return this.#policy !== undefined;
  }

  /** The set to tell of a prefix whose best path is `best`; 0: nothing. */
  choose(id: number, best: number): number {
    if (this.#epoch !== this.#sets.epoch) this.forget();
    if (best !== this.#lastSet) {
      this.#lastSet = best;
      this.#lastPlain = this.#plain(best);
    }
    const plain = this.#lastPlain;
    const policy = this.#policy;
    // Where the protocol forbids it no policy is asked; one may still give a route the next hop it lacks.
    if (policy === undefined) return plain < 0 ? 0 : plain;
    if (plain === 0 || policy === rejectAll) return 0;
    if (policy.prepare !== undefined) return this.#askPrepared(id, best, plain);
    const route = this.#route(id, best);
    const result = askPolicy(policy, route, this.#rule.neighbor);
    if (result === null) return 0;
    if (result === route) return Math.max(plain, 0);
    return this.#changed(best, this.#sets.attributesOf(best), {
      ...attributesOf(result),
      nextHopMode: result.nextHopMode,
    });
  }

  /** The attributes a set chosen here is sent with. */
  attributesOf(out: number): PathAttributes {
    const attributes = this.#sets.attributesOf(out);
    if (this.#sets.isReadyMade(out)) return attributes;
    return exportAttributes(attributes, this.#family, this.#sourceOf(out), this.#rule.target) ?? attributes;
  }

  /**
   * Writes the attribute list of a set chosen here, and the next hop where it goes into MP_REACH_NLRI. Returns true where NEXT_HOP is
   * among the attributes instead.
   */
  write(out: number, list: Writer, nextHop: Writer): boolean {
    list.reset();
    nextHop.reset();
    const { target } = this.#rule;
    const isPlain = target.type === "internal" && target.fourOctetAs && !target.gracefulShutdown;
    if (isPlain && !this.#sets.isReadyMade(out)) return this.#writeInternal(out, list, nextHop);
    const attributes = this.attributesOf(out);
    const hop = encodeNextHop(attributes)!;
    const isClassic = this.#family === Family.ipv4Unicast && hop.length === 4;
    list.bytes(encodeAttributes(attributes, { fourOctetAs: target.fourOctetAs, withNextHop: isClassic }));
    if (!isClassic) nextHop.bytes(hop);
    return isClassic;
  }

  /** A set chosen here reads the same to a neighbor as `otherSet` chosen by `other`. */
  readsLike(set: number, other: Exporter, otherSet: number): boolean {
    if (set === otherSet && this.#sets.isReadyMade(set)) return true;
    return isDeepStrictEqual(this.attributesOf(set), other.attributesOf(otherSet));
  }

  /** The policy answers differently, or something about a source has changed: nothing remembered holds. */
  forget(): void {
    this.#epoch = this.#sets.epoch;
    this.#prepared.clear();
    this.#lastSet = 0;
  }

  #sourceOf(set: number): Source {
    return this.#sources.get(this.#sets.sourceOf(set));
  }

  /** What a set is told as where no policy changes it; 0: not at all; -1: only with a next hop from the policy. */
  #plain(set: number): number {
    const { target } = this.#rule;
    if (!mayExport(this.#sourceOf(set), this.#sets.traitsOf(set), target)) return 0;
    const length = this.#takesOwnNextHop(set)
      ? (this.#ownNextHop?.length ?? 0)
      : this.#sets.nextHopLengthOf(set);
    const isFine =
      length > 0 && (length === 4 || this.#family === Family.ipv6Unicast || target.extendedNextHop);
    return isFine ? set : -1;
  }

  #takesOwnNextHop(set: number): boolean {
    const { nextHopMode, type } = this.#rule.target;
    if (nextHopMode === "self" || (nextHopMode === "auto" && type === "external")) return true;
    return this.#sets.nextHopLengthOf(set) === 0;
  }

  #askPrepared(id: number, best: number, plain: number): number {
    const attributes = this.#sets.attributesOf(best);
    let prepared = this.#prepared.get(best);
    if (prepared === undefined) {
      const { address: source, type: sourceType } = this.#sourceOf(best);
      const paths = { attributes, family: this.#family, source, sourceType };
      const policy = this.#policy!.prepare!(paths, this.#rule.neighbor);
      prepared = {
        policy,
        outs: new Map<PolicyAnswer, number>([
          [null, 0],
          [attributes, Math.max(plain, 0)],
        ]),
      };
      if (this.#prepared.size >= PREPARED_KEPT) this.#prepared.clear();
      this.#prepared.set(best, prepared);
    }
    let { answer } = prepared.policy;
    if (answer === undefined) {
      const length = this.#prefixes.read(id, this.#address);
      answer = prepared.policy.decide(this.#address, 0, length);
    }
    let out = prepared.outs.get(answer);
    if (out === undefined) {
      out = answer === null ? 0 : this.#changed(best, attributes, answer);
      prepared.outs.set(answer, out);
    }
    return out;
  }

  /** A set for what a policy has made of `before`. */
  #changed(best: number, before: PathAttributes, after: NonNullable<PolicyAnswer>): number {
    const { nextHopMode, ...attributes } = after;
    const changes = {
      nextHop: attributes.nextHop !== before.nextHop,
      nextHopMode,
      med: attributes.med !== before.med,
    };
    const source = this.#sourceOf(best);
    const sent = exportAttributes(attributes, this.#family, source, this.#rule.target, changes);
    return sent === null ? 0 : this.#sets.internAttributes(source.index, sent, true);
  }

  #writeInternal(set: number, list: Writer, nextHop: Writer): boolean {
    const sets = this.#sets;
    const source = this.#sourceOf(set);
    const takesOwn = this.#takesOwnNextHop(set);
    const hop = takesOwn ? this.#ownNextHop! : sets.bytesOf(set);
    const hopAt = takesOwn ? 0 : sets.offsetOf(set) + 1;
    const hopLength = takesOwn ? hop.length : sets.nextHopLengthOf(set);
    const isClassic = this.#family === Family.ipv4Unicast && hopLength === 4;
    writeInternal(list, sets, set, {
      isReflected: source.type === "internal",
      originatorId: source.routerId,
      clusterId: this.#clusterId,
      nextHop: isClassic ? hop : undefined,
      nextHopAt: hopAt,
    });
    if (!isClassic) nextHop.copyFrom(hop, hopAt, hopAt + hopLength);
    return isClassic;
  }
}
