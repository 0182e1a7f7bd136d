/**
 * The addresses of services that BGPConfiguration `default` has the cluster advertise. What comes for one that nobody
 * translated would go out again by the default route and come back, until its hops are used up.
 */

import type { BGPConfiguration } from "../../crd-schemas/index.ts";
import type { Key } from "../../datastore/key.ts";
import { type Cidr, cidr } from "../../net/cidr.ts";
import type { Changes } from "./changes.ts";
import type { GraphPart } from "./part.ts";

export class ServiceCidrs implements GraphPart {
  readonly kinds = ["BGPConfiguration"] as const;
  #cidrs: readonly Cidr[] = [];
  #shown: readonly Cidr[] = [];

  set(key: Key, value: BGPConfiguration | undefined): void {
    if (key.name !== "default") return;
    const { serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs } = value?.spec ?? {};
    const blocks = [serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs].flatMap(
      list => list ?? [],
    );
    this.#cidrs = [...new Set(blocks.flatMap(block => (block.cidr ? [cidr(block.cidr)] : [])))].sort();
  }

  drain(): Partial<Changes> {
    if (this.#cidrs.join() === this.#shown.join()) return {};
    this.#shown = this.#cidrs;
    return { serviceCidrs: this.#cidrs };
  }
}
