/**
 * The host's own interfaces and their addresses, as host endpoints are matched with: read once, then kept by
 * kernel events. Workloads' interfaces, of which there may be a thousand, are none of these and cost nothing here.
 */

import type { KernelEvent } from "../../linux/events.ts";
import type { Rtnetlink } from "../../linux/rtnetlink.ts";
import type { Ip } from "../../net/ip.ts";
import type { HostView } from "../calc/flow-judge.ts";
import type { HostInterface } from "../calc/host-endpoints.ts";

export interface HostInterfacesOptions {
  readonly rtnetlink: Pick<Rtnetlink, "listLinks" | "listAddresses" | "interfaceTowards">;
  /** Of workloads' interfaces. */
  readonly interfacePrefix: readonly string[];
}

interface Known {
  readonly name: string;
  readonly addresses: Set<Ip>;
}

export class HostInterfaces {
  readonly #options: HostInterfacesOptions;
  /** By interface index. */
  #known = new Map<number, Known>();

  constructor(options: HostInterfacesOptions) {
    this.#options = options;
  }

  /** All of them afresh. */
  read(): void {
    const { rtnetlink } = this.#options;
    this.#known = new Map();
    for (const link of rtnetlink.listLinks()) this.#noteLink(link, true);
    for (const { interfaceIndex, ip } of rtnetlink.listAddresses())
      this.#known.get(interfaceIndex)?.addresses.add(ip);
  }

  /** Whether any of them changed. */
  noteEvents(events: readonly KernelEvent[]): boolean {
    let changed = false;
    for (const event of events) {
      if (event.type === "overflow") {
        this.read();
        changed = true;
      } else if (event.type === "link") {
        changed = this.#noteLink(event.link, event.action === "new") || changed;
      } else if (event.type === "address") {
        const { interfaceIndex, ip } = event.address;
        const addresses = this.#known.get(interfaceIndex)?.addresses;
        if (!addresses || addresses.has(ip) === (event.action === "new")) continue;
        if (event.action === "new") addresses.add(ip);
        else addresses.delete(ip);
        changed = true;
      }
    }
    return changed;
  }

  list(): HostInterface[] {
    return [...this.#known].map(([index, { name, addresses }]) => ({
      index,
      name,
      addresses: [...addresses],
    }));
  }

  /** The host as it is now, for a while: ways are looked up once each. */
  view(): HostView {
    const { rtnetlink } = this.#options;
    const own = new Set([...this.#known.values()].flatMap(({ addresses }) => [...addresses]));
    const ways = new Map<Ip, string | undefined>();
    return {
      isOwnAddress: address => own.has(address),
      interfaceTowards: address => {
        if (!ways.has(address)) {
          const index = rtnetlink.interfaceTowards(address);
          ways.set(address, index === undefined ? undefined : this.#known.get(index)?.name);
        }
        return ways.get(address);
      },
    };
  }

  #noteLink(link: { readonly index: number; readonly name: string }, present: boolean): boolean {
    const known = this.#known.get(link.index);
    if (!present || this.#isWorkload(link.name)) return this.#known.delete(link.index);
    if (known?.name === link.name) return false;
    // Renamed, it keeps its addresses.
    this.#known.set(link.index, { name: link.name, addresses: known?.addresses ?? new Set() });
    return true;
  }

  #isWorkload(name: string): boolean {
    return this.#options.interfacePrefix.some(prefix => name.startsWith(prefix));
  }
}
