/**
 * Addresses of ours on interfaces of workloads, under which these reach the host's BGP speaker (calico.md 4.8): put there as soon
 * as such an interface is, and taken away again when they are not wanted; only those that we have put there.
 */

import type { Logger } from "../daemon/log.ts";
import type { LinkAddress, Rtnetlink } from "../linux/rtnetlink.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import type { LocalRoutes } from "./local-routes.ts";

export class LinkAddresses {
  readonly #rtnetlink: Pick<Rtnetlink, "replaceAddress" | "deleteAddress">;
  readonly #logger: Logger;
  /** By names of interfaces. */
  #wanted: ReadonlyMap<string, readonly Ip[]> = new Map();
  readonly #added = new Map<string, LinkAddress>();

  constructor(options: {
    readonly rtnetlink: Pick<Rtnetlink, "replaceAddress" | "deleteAddress">;
    readonly logger: Logger;
  }) {
    this.#rtnetlink = options.rtnetlink;
    this.#logger = options.logger;
  }

  set(wanted: ReadonlyMap<string, readonly Ip[]>): void {
    this.#wanted = wanted;
  }

  /** Whether something was written; what fails is tried again by the next call. */
  apply(local: LocalRoutes): boolean {
    const wanted = new Map<string, LinkAddress>();
    for (const [name, addresses] of this.#wanted) {
      const interfaceIndex = local.indexOf(name);
      if (interfaceIndex === undefined) continue;
      for (const ip of addresses) {
        const prefixLength = ipVersion(ip) === 4 ? 32 : 128;
        wanted.set(`${interfaceIndex} ${ip}`, { interfaceIndex, ip, prefixLength, noDad: true });
      }
    }
    let written = false;
    for (const [id, address] of this.#added) {
      if (wanted.has(id)) continue;
      this.#added.delete(id);
      if (this.#write(() => this.#rtnetlink.deleteAddress(address))) written = true;
    }
    for (const [id, address] of wanted) {
      if (local.hasAddress(address.interfaceIndex, address.ip)) continue;
      this.#added.set(id, address);
      if (this.#write(() => this.#rtnetlink.replaceAddress(address))) written = true;
    }
    return written;
  }

  #write(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      // The interface may be gone by now, which is nobody's fault.
      this.#logger.debug({ err: error }, "address of a workload's interface");
      return false;
    }
  }
}
