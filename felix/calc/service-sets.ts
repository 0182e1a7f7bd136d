/**
 * Who is behind Kubernetes services, for rules that name one: the addresses, and where traffic goes to the service
 * the ports, of all its EndpointSlices. Whether an endpoint is ready does not matter to policy (calico.md, Appendix D).
 */

import type { ServiceRef } from "../../policy/model.ts";
import type { SetMember } from "./changes.ts";
import type { CountedMembers } from "./counted-members.ts";

/** What one EndpointSlice says. */
export interface ServiceSlice {
  /** `namespace/name` of the service. */
  readonly service: string;
  readonly addresses: readonly SetMember[];
  /** Protocol in lower case. */
  readonly ports: readonly { readonly protocol: string; readonly port: number }[];
}

export class ServiceSets {
  readonly #members: CountedMembers;
  readonly #slices = new Map<string, ServiceSlice>();
  /** By service: ids of slices, and the sets in use. */
  readonly #slicesOf = new Map<string, Set<string>>();
  readonly #setsOf = new Map<string, Map<string, ServiceRef>>();

  constructor(members: CountedMembers) {
    this.#members = members;
  }

  /** The set has just been created. */
  use(ref: ServiceRef): void {
    const service = serviceOf(ref);
    const sets = this.#setsOf.get(service) ?? new Map<string, ServiceRef>();
    this.#setsOf.set(service, sets.set(ref.id, ref));
    for (const id of this.#slicesOf.get(service) ?? []) {
      this.#contribute(ref, this.#slices.get(id) as ServiceSlice, "add");
    }
  }

  release(ref: ServiceRef): void {
    const service = serviceOf(ref);
    const sets = this.#setsOf.get(service);
    if (sets?.delete(ref.id) && sets.size === 0) this.#setsOf.delete(service);
  }

  setSlice(id: string, slice: ServiceSlice | undefined): void {
    const former = this.#slices.get(id);
    if (former) {
      this.#contributeToAll(former, "remove");
      const others = this.#slicesOf.get(former.service);
      if (others?.delete(id) && others.size === 0) this.#slicesOf.delete(former.service);
    }
    if (!slice) {
      this.#slices.delete(id);
      return;
    }
    this.#slices.set(id, slice);
    this.#slicesOf.set(slice.service, (this.#slicesOf.get(slice.service) ?? new Set()).add(id));
    this.#contributeToAll(slice, "add");
  }

  #contributeToAll(slice: ServiceSlice, what: "add" | "remove"): void {
    for (const ref of this.#setsOf.get(slice.service)?.values() ?? []) this.#contribute(ref, slice, what);
  }

  #contribute(ref: ServiceRef, { addresses, ports }: ServiceSlice, what: "add" | "remove"): void {
    for (const address of addresses) {
      if (!ref.withPorts) this.#members[what](ref.id, address);
      else
        for (const { protocol, port } of ports) this.#members[what](ref.id, `${address},${protocol}:${port}`);
    }
  }
}

function serviceOf({ namespace, name }: ServiceRef): string {
  return `${namespace}/${name}`;
}
