/**
 * Sets as they should be, with what has changed about them since it was last taken over. Three kinds: {@link AddressSet} of
 * addresses and CIDRs, {@link ElementSet} of anything else, and maps, which are element sets.
 *
 * An address set is a hash set while it holds addresses only, and an interval set once a CIDR is in it: a change of an
 * interval set costs the kernel the whole set (8 ms at 100,000 members), of a hash set nothing to speak of.
 */

import { addressData, firstAddress, lastAddress } from "../../../linux/nf-tables/data.ts";
import type { Verdict } from "../../../linux/nf-tables/expression.ts";
import type { Element, NftSet } from "../../../linux/nf-tables/model.ts";
import { type Cidr, hostCidr, isHostCidr } from "../../../net/cidr.ts";
import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { SetMember } from "../../calc/changes.ts";
import { CidrCover } from "./cover.ts";

export interface SetDifference {
  /** It is another kind of set now: the one there was is useless. */
  readonly replaced: boolean;
  readonly added: readonly Element[];
  readonly removed: readonly Element[];
}

export interface KeptSet {
  readonly set: NftSet;
  /** Of a map to verdicts: elements may come and go while rules ask it, without harm to packets on their way. */
  readonly growsInPlace?: boolean;
  /** All of them, as they should be. */
  elements(): Element[];
  /** Whether {@link take} would say anything. */
  readonly changed: boolean;
  /** The difference since the last time, or since it was made. */
  take(): SetDifference;
}

export class ElementSet implements KeptSet {
  readonly set: NftSet;
  readonly growsInPlace: boolean;
  readonly #elements = new Map<string, Element>();
  /** By key, what was there when changes were last taken; undefined: nothing. */
  readonly #former = new Map<string, Element | undefined>();

  constructor(
    set: NftSet,
    elements: Iterable<Element> = [],
    { growsInPlace = false }: { readonly growsInPlace?: boolean } = {},
  ) {
    this.set = set;
    this.growsInPlace = growsInPlace;
    for (const element of elements) this.put(element);
  }

  put(element: Element): void {
    const { key } = element;
    this.#remember(key);
    this.#elements.set(key, element);
  }

  remove(key: string): void {
    this.#remember(key);
    this.#elements.delete(key);
  }

  /** Exactly these from now on. */
  replace(elements: Iterable<Element>): void {
    const gone = new Set(this.#elements.keys());
    for (const element of elements) {
      gone.delete(element.key);
      this.put(element);
    }
    for (const key of gone) this.remove(key);
  }

  elements(): Element[] {
    return [...this.#elements.values()];
  }

  get changed(): boolean {
    for (const [key, former] of this.#former) {
      if (!sameElement(former, this.#elements.get(key))) return true;
    }
    this.#former.clear();
    return false;
  }

  take(): SetDifference {
    const added: Element[] = [];
    const removed: Element[] = [];
    for (const [key, former] of this.#former) {
      const element = this.#elements.get(key);
      if (sameElement(former, element)) continue;
      if (former) removed.push(former);
      if (element) added.push(element);
    }
    this.#former.clear();
    return { replaced: false, added, removed };
  }

  #remember(key: string): void {
    if (!this.#former.has(key)) this.#former.set(key, this.#elements.get(key));
  }
}

export function sameElement(a: Element | undefined, b: Element | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.key === b.key &&
    (a.keyEnd ?? a.key) === (b.keyEnd ?? b.key) &&
    a.data === b.data &&
    sameVerdict(a.verdict, b.verdict)
  );
}

export function sameVerdict(a: Verdict | undefined, b: Verdict | undefined): boolean {
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  return "jump" in a ? "jump" in b && a.jump === b.jump : "goto" in b && a.goto === b.goto;
}

/** Of an interval set. */
export function netElement(net: Cidr): Element {
  const key = firstAddress(net);
  return isHostCidr(net) ? { key } : { key, keyEnd: lastAddress(net) };
}

export class AddressSet implements KeptSet {
  readonly #name: string;
  readonly #version: IpVersion;
  readonly #members = new Set<SetMember>();
  /** How many members are more than one address. */
  #wide = 0;
  /** The ranges of an interval set. */
  #cover: CidrCover | undefined;
  #replaced = false;
  readonly #added = new Set<SetMember>();
  readonly #removed = new Set<SetMember>();

  constructor(name: string, version: IpVersion) {
    this.#name = name;
    this.#version = version;
  }

  get set(): NftSet {
    return {
      name: this.#name,
      key: [this.#version === 4 ? "ipv4_addr" : "ipv6_addr"],
      ...(this.#cover && { interval: true }),
    };
  }

  /** Members of the other IP version are none of ours. */
  update(added: Iterable<SetMember>, removed: Iterable<SetMember>): void {
    const out = this.#ofVersion(removed).filter(member => this.#members.delete(member));
    const into = this.#ofVersion(added).filter(member => !this.#members.has(member));
    for (const member of into) this.#members.add(member);
    this.#wide += into.filter(isWide).length - out.filter(isWide).length;
    if (this.#wide > 0 !== (this.#cover !== undefined)) this.#changeKind();
    else if (this.#cover) {
      const change = this.#cover.update(into.map(cidrOfMember), out.map(cidrOfMember));
      this.#note(change.added, change.removed);
    } else this.#note(into, out);
  }

  /** Exactly these from now on. */
  replace(members: Iterable<SetMember>): void {
    const wanted = new Set(members);
    this.update(
      wanted,
      [...this.#members].filter(member => !wanted.has(member)),
    );
  }

  elements(): Element[] {
    return [...(this.#cover ?? this.#members)].map(member => this.#element(member));
  }

  get changed(): boolean {
    return this.#replaced || this.#added.size > 0 || this.#removed.size > 0;
  }

  take(): SetDifference {
    const difference = this.#replaced
      ? { replaced: true, added: this.elements(), removed: [] }
      : {
          replaced: false,
          added: [...this.#added].map(member => this.#element(member)),
          removed: [...this.#removed].map(member => this.#element(member)),
        };
    this.#replaced = false;
    this.#added.clear();
    this.#removed.clear();
    return difference;
  }

  #changeKind(): void {
    this.#cover = this.#wide > 0 ? new CidrCover() : undefined;
    this.#cover?.update([...this.#members].map(cidrOfMember), []);
    this.#replaced = true;
    this.#added.clear();
    this.#removed.clear();
  }

  #note(added: Iterable<SetMember>, removed: Iterable<SetMember>): void {
    if (this.#replaced) return;
    for (const member of removed) if (!this.#added.delete(member)) this.#removed.add(member);
    for (const member of added) if (!this.#removed.delete(member)) this.#added.add(member);
  }

  #ofVersion(members: Iterable<SetMember>): SetMember[] {
    return [...members].filter(member => member.includes(":") === (this.#version === 6));
  }

  #element(member: SetMember): Element {
    if (!this.#cover) return { key: addressData(member as Ip) };
    return netElement(member as Cidr);
  }
}

const isWide = (member: SetMember): boolean => member.includes("/") && !isHostCidr(member as Cidr);
const cidrOfMember = (member: SetMember): Cidr =>
  member.includes("/") ? (member as Cidr) : hostCidr(member as Ip);
