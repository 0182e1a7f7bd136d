/**
 * What people call the two ends of a packet: a pod as namespace/name, a workload, a host, a host endpoint, an
 * address. Short names are enough where they are unique.
 */

import type { WorkloadEndpoint } from "../../../crd-schemas/index.ts";
import { type Ip, type IpVersion, ipVersion, parseIp } from "../../../net/ip.ts";
import type { PortOfEndpoint } from "../../../policy/policy-state.ts";
import type { DocumentState } from "../../../policy/state.ts";
import { nearestOf } from "../../nearest.ts";

export interface NamedEnd {
  /** As it is shown: `default/web`, `host1`, `10.0.0.1`. */
  readonly name: string;
  readonly addresses: readonly Ip[];
  readonly ports: readonly PortOfEndpoint[];
  readonly node?: string;
}

/** Why a name means nothing, in words that go on from the name itself. */
export interface UnknownName {
  readonly problem: string;
}

export class EndNames {
  readonly #ends = new Map<string, NamedEnd>();
  /** Short forms: those of several are ambiguous. */
  readonly #short = new Map<string, Set<string>>();
  readonly #byAddress = new Map<Ip, NamedEnd>();

  constructor({ state, hostPods, origins }: Pick<DocumentState, "state" | "hostPods" | "origins">) {
    for (const { id, addresses, ports, node } of state.endpoints) {
      this.#add({ name: id, addresses, ports, ...(node !== undefined && { node }) });
      const { metadata, spec } = origins.endpoints.get(id)!.resource as WorkloadEndpoint;
      const { namespace = "default", name } = metadata;
      const own = [name, spec.pod, spec.workload].filter(text => text !== undefined && text !== "");
      for (const alias of own) {
        this.#alias(`${namespace}/${alias}`, id);
        this.#alias(alias!, id);
      }
    }
    for (const { namespace, name, addresses, ports } of hostPods) {
      this.#add({ name: `${namespace}/${name}`, addresses, ports });
      this.#alias(name, `${namespace}/${name}`);
    }
    const hosts = new Map(state.hosts?.map(host => [host.name, host]));
    for (const { name, addresses } of hosts.values()) this.#add({ name, addresses, ports: [], node: name });
    for (const { id, addresses, ports, node } of state.hostEndpoints ?? []) {
      const known = addresses.length > 0 ? addresses : (hosts.get(node)?.addresses ?? []);
      this.#add({ name: id, addresses: known, ports, node });
    }
  }

  find(text: string): NamedEnd | UnknownName {
    const address = parseIp(text);
    if (address !== undefined) return this.ofAddress(address);
    const named = this.#ends.get(text);
    if (named) return named;
    const meant = [...(this.#short.get(text) ?? [])];
    if (meant.length === 1) return this.#ends.get(meant[0]!)!;
    if (meant.length > 1) return { problem: `is the name of several: ${meant.sort().join(", ")}` };
    const near = this.#near(text);
    const hint = near.length === 0 ? "" : ` (did you mean ${near.map(name => `"${name}"`).join(" or ")}?)`;
    return { problem: `is no pod, workload or host that there is${hint}` };
  }

  /** Who has the address, or the address itself. */
  ofAddress(address: Ip): NamedEnd {
    return this.#byAddress.get(address) ?? { name: address, addresses: [address], ports: [] };
  }

  /** The same name in another namespace is what was most likely meant. */
  #near(text: string): string[] {
    const plain = text.slice(text.indexOf("/") + 1);
    const elsewhere = [...(this.#short.get(plain) ?? [])];
    return elsewhere.length > 0 ? elsewhere.slice(0, 3) : nearestOf(text, this.#ends.keys());
  }

  #add(end: NamedEnd): void {
    if (!this.#ends.has(end.name)) this.#ends.set(end.name, end);
    for (const address of end.addresses) if (!this.#byAddress.has(address)) this.#byAddress.set(address, end);
  }

  #alias(alias: string, id: string): void {
    const known = this.#short.get(alias) ?? new Set();
    known.add(id);
    this.#short.set(alias, known);
  }
}

/** One address of each, of one version: IPv4 where both have it. */
export function commonAddresses(
  from: NamedEnd,
  to: NamedEnd,
  versions: readonly IpVersion[] = [4, 6],
): readonly [Ip, Ip] | undefined {
  for (const version of versions) {
    const ofVersion = (one: Ip): boolean => ipVersion(one) === version;
    const [source, destination] = [from.addresses.find(ofVersion), to.addresses.find(ofVersion)];
    if (source !== undefined && destination !== undefined) return [source, destination];
  }
  return undefined;
}
