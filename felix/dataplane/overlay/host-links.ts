/**
 * The host's links and their addresses, as far as tunnels care: which link an address is on, what a link is called, how
 * large its packets are. Links of workloads are known by their index alone.
 */

import type { KernelEvent } from "../../../linux/events.ts";
import type { Link, LinkAddress, Rtnetlink } from "../../../linux/rtnetlink.ts";
import type { Ip } from "../../../net/ip.ts";

export class HostLinks {
  readonly #isWorkload: (name: string) => boolean;
  readonly #links = new Map<number, Link>();
  readonly #workloads = new Set<number>();
  readonly #addresses = new Map<number, Map<string, LinkAddress>>();

  constructor(isWorkload: (name: string) => boolean) {
    this.#isWorkload = isWorkload;
  }

  /** Whether anything is different now. */
  noteEvent(event: KernelEvent): boolean {
    if (event.type === "link") return this.#noteLink(event.link, event.action === "new");
    if (event.type === "address") return this.#noteAddress(event.address, event.action === "new");
    return false;
  }

  /** Reads all of it. */
  resync(rtnetlink: Pick<Rtnetlink, "listLinks" | "listAddresses">): void {
    const links = rtnetlink.listLinks();
    const addresses = rtnetlink.listAddresses();
    this.#links.clear();
    this.#workloads.clear();
    this.#addresses.clear();
    for (const link of links) this.#noteLink(link, true);
    for (const address of addresses) this.#noteAddress(address, true);
  }

  all(): Iterable<Link> {
    return this.#links.values();
  }

  byName(name: string): Link | undefined {
    for (const link of this.#links.values()) if (link.name === name) return link;
    return undefined;
  }

  isWorkload(index: number | undefined): boolean {
    return index !== undefined && this.#workloads.has(index);
  }

  addressesOf(index: number): Iterable<LinkAddress> {
    return this.#addresses.get(index)?.values() ?? [];
  }

  /** The link that has the address; of several, the first by index. */
  holderOf(ip: Ip): Link | undefined {
    const holders = [...this.#links.values()].filter(({ index }) =>
      [...this.addressesOf(index)].some(address => address.ip === ip),
    );
    return holders.sort((a, b) => a.index - b.index)[0];
  }

  #noteLink(link: Link, present: boolean): boolean {
    const { index } = link;
    const former = this.#links.get(index);
    const isOurs = present && !this.#isWorkload(link.name);
    if (present && !isOurs) this.#workloads.add(index);
    else this.#workloads.delete(index);
    if (!present) this.#addresses.delete(index);
    if (isOurs) this.#links.set(index, link);
    else this.#links.delete(index);
    return isOurs ? former === undefined || !sameLink(former, link) : former !== undefined;
  }

  #noteAddress(address: LinkAddress, present: boolean): boolean {
    const { interfaceIndex, ip, prefixLength } = address;
    const key = `${ip}/${prefixLength}`;
    const held = this.#addresses.get(interfaceIndex) ?? new Map<string, LinkAddress>();
    if (!present) return held.delete(key);
    const isNews = !held.has(key);
    this.#addresses.set(interfaceIndex, held.set(key, address));
    return isNews && !this.#workloads.has(interfaceIndex);
  }
}

function sameLink(a: Link, b: Link): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
