/**
 * The workloads of this node, for BGPPeers that select them (localWorkloadSelector): where they are and what they are called.
 * A workload has its own labels and those that its profiles give, as everywhere else. Pure: fed with what the datastore says.
 */

import type { Profile, WorkloadEndpoint } from "../crd-schemas/index.ts";
import { validResource } from "../crd-schemas/index.ts";
import { keyText, type Query } from "../datastore/key.ts";
import type { Update } from "../datastore/reflector.ts";
import { networkAddress, parseCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { ownLabels } from "../policy/resource-labels.ts";

export interface LocalWorkload {
  /** Of the host's end. */
  readonly interfaceName: string;
  readonly addresses: readonly Ip[];
  readonly labels: Readonly<Record<string, string>>;
}

export class LocalWorkloads {
  readonly #nodeName: string;
  readonly #endpoints = new Map<string, WorkloadEndpoint>();
  readonly #profiles = new Map<string, Readonly<Record<string, string>>>();

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  static readonly queries: readonly Query[] = [{ kind: "WorkloadEndpoint" }, { kind: "Profile" }];

  /** Whether something about a workload of this node may have changed. */
  apply(updates: readonly Update[]): boolean {
    let changed = false;
    for (const update of updates) {
      const value = resourceOf(update);
      const { kind, name } = update.key;
      if (kind === "Profile") {
        const labels = (value as Profile | undefined)?.spec?.labelsToApply ?? {};
        if (JSON.stringify(labels) === JSON.stringify(this.#profiles.get(name) ?? {})) continue;
        this.#profiles.set(name, labels);
        changed = true;
      } else {
        const id = keyText(update.key);
        const endpoint = value as WorkloadEndpoint | undefined;
        if (endpoint?.spec.node === this.#nodeName) this.#endpoints.set(id, endpoint);
        else if (!this.#endpoints.delete(id)) continue;
        changed = true;
      }
    }
    return changed;
  }

  /** Those that have an address and an interface. */
  all(): LocalWorkload[] {
    return [...this.#endpoints.values()].flatMap(({ metadata, spec }) => {
      const networks = (spec.ipNetworks ?? []).map(parseCidr).filter(network => network !== undefined);
      if (!spec.interfaceName || networks.length === 0) return [];
      const inherited = (spec.profiles ?? []).map(name => this.#profiles.get(name) ?? {});
      return {
        interfaceName: spec.interfaceName,
        addresses: networks.map(networkAddress),
        labels: Object.assign({}, ...inherited.reverse(), ownLabels(metadata.labels)),
      };
    });
  }
}

/** Undefined where it is gone or makes no sense: felix reports those. */
function resourceOf(update: Update): unknown {
  if (update.type === "delete") return undefined;
  try {
    return validResource(update.value);
  } catch {
    return undefined;
  }
}
