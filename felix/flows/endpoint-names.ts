/**
 * Whose address it is, in the whole cluster. Kept only while flows are logged: a hundred thousand endpoints are some 20
 * MB. Of several that have an address, the one that was told last is named.
 */

import type { HostEndpoint, Node, WorkloadEndpoint } from "../../crd-schemas/index.ts";
import { type Kind, keyText } from "../../datastore/key.ts";
import type { Update } from "../../datastore/reflector.ts";
import { networkAddress, parseCidr } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import type { FlowEnd } from "./flow.ts";

export const NAMED_KINDS: readonly Kind[] = ["WorkloadEndpoint", "HostEndpoint", "Node"];

type EndName = Omit<FlowEnd, "address">;

export class EndpointNames {
  readonly #byAddress = new Map<Ip, EndName>();
  readonly #addresses = new Map<string, readonly Ip[]>();

  apply(updates: readonly Update[]): void {
    for (const update of updates) {
      if (!NAMED_KINDS.includes(update.key.kind)) continue;
      const key = keyText(update.key);
      for (const address of this.#addresses.get(key) ?? []) this.#byAddress.delete(address);
      this.#addresses.delete(key);
      if (update.type !== "put") continue;
      const { name, cidrs } = described(update);
      const addresses = cidrs.flatMap(text => {
        const block = parseCidr(text);
        return block === undefined ? [] : [networkAddress(block)];
      });
      this.#addresses.set(key, addresses);
      for (const address of addresses) this.#byAddress.set(address, name);
    }
  }

  end(address: Ip): FlowEnd {
    return { address, ...this.#byAddress.get(address) };
  }
}

/** What to call it, and the addresses that are its alone. */
function described({ key, value }: Extract<Update, { type: "put" }>): {
  name: EndName;
  cidrs: readonly string[];
} {
  switch (key.kind) {
    case "WorkloadEndpoint": {
      const { spec, metadata } = value as WorkloadEndpoint;
      const name = spec.pod ?? spec.workload ?? metadata.name;
      const { namespace } = metadata;
      return {
        name: { kind: "workload", ...(namespace !== undefined && { namespace }), name },
        cidrs: spec.ipNetworks ?? [],
      };
    }
    case "HostEndpoint": {
      const { spec, metadata } = value as HostEndpoint;
      return { name: { kind: "host-endpoint", name: metadata.name }, cidrs: spec.expectedIPs ?? [] };
    }
    default: {
      const { spec, metadata } = value as Node;
      const own = spec?.bgp;
      // A node's address has a length, which is its subnet's.
      const cidrs = [own?.ipv4Address, own?.ipv6Address, spec?.ipv4VXLANTunnelAddr, own?.ipv4IPIPTunnelAddr];
      return {
        name: { kind: "node", name: metadata.name },
        cidrs: cidrs.flatMap(text => (text === undefined ? [] : [text.replace(/\/.*$/, "")])),
      };
    }
  }
}
