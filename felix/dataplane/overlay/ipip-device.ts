/**
 * `tunl0`, the IPIP device that the kernel's ipip module brings (calico.md 3.6). Kernels without the module cannot have one:
 * then pools with IPIP have no routes through tunnels, which is said plainly, because nothing else would show why packets
 * do not arrive.
 */

import { isNetlinkError, type Link, type Rtnetlink } from "../../../linux/rtnetlink.ts";
import type { Ip } from "../../../net/ip.ts";
import type { HostLinks } from "./host-links.ts";
import { setOnlyAddress } from "./only-address.ts";

export const IPIP_DEVICE = "tunl0";

export const NO_IPIP =
  "this kernel has no IPIP (module ipip): workloads on other hosts are not reached through pools with ipipMode; use vxlanMode";

export type IpipKernel = Pick<
  Rtnetlink,
  "createPlainLink" | "getLink" | "setLink" | "addAddress" | "deleteAddress"
>;

export class IpipDevice {
  readonly #rtnetlink: IpipKernel;
  readonly #links: HostLinks;
  /** The kernel said that it cannot. */
  #missing = false;

  constructor(rtnetlink: IpipKernel, links: HostLinks) {
    this.#rtnetlink = rtnetlink;
    this.#links = links;
  }

  get link(): Link | undefined {
    return this.#links.byName(IPIP_DEVICE);
  }

  get missing(): boolean {
    return this.#missing && this.link === undefined;
  }

  /** There, up, with this address and no other; `address` undefined: not known yet. @throws NetlinkError */
  ensure(address: Ip | undefined, mtu: number): void {
    const link = this.#look() ?? this.#create();
    if (!link) return;
    if (link.mtu !== mtu) this.#rtnetlink.setLink(link.index, { mtu });
    if (!link.up) this.#rtnetlink.setLink(link.index, { up: true });
    if (address !== undefined) setOnlyAddress(this.#rtnetlink, this.#links, link.index, address);
    this.#links.noteEvent({ type: "link", action: "new", link: { ...link, mtu, up: true } });
  }

  /** The device stays, as it always does; an address left on it would take packets from whoever gets it next. */
  remove(): void {
    this.#missing = false;
    if (this.link) setOnlyAddress(this.#rtnetlink, this.#links, this.link.index, undefined);
  }

  #create(): Link | undefined {
    // Asked again each time: the module may come. With it comes the device, before ours is made.
    try {
      this.#rtnetlink.createPlainLink({ kind: "ipip", name: IPIP_DEVICE });
    } catch (error) {
      if (!isNetlinkError(error, "EOPNOTSUPP", "ENODEV", "EEXIST")) throw error;
      this.#missing = !isNetlinkError(error, "EEXIST");
    }
    return this.#look();
  }

  #look(): Link | undefined {
    const link = this.#rtnetlink.getLink(IPIP_DEVICE);
    if (link) this.#links.noteEvent({ type: "link", action: "new", link });
    return link;
  }
}
