/**
 * Who an interface belongs to. Two endpoints may name the same one, mostly for a moment: a container is replaced by
 * another before its endpoint is deleted. Chains and routes are the interface's, so only one of them is handed on, the
 * first by id, so that every start decides alike; the next takes its place when it goes.
 */

import type { LocalEndpoint } from "./changes.ts";

export class InterfaceClaims {
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #claims = new Map<string, Set<string>>();
  /** Endpoints that were handed on. */
  readonly #shown = new Set<string>();
  readonly #onIgnored: (id: string, winner: string, interfaceName: string) => void;

  /** `onIgnored` hears of an endpoint that lost, each time it changes. */
  constructor(onIgnored: (id: string, winner: string, interfaceName: string) => void) {
    this.#onIgnored = onIgnored;
  }

  /** The changes as they are to be handed on. */
  resolve(changes: ReadonlyMap<string, LocalEndpoint | undefined>): Map<string, LocalEndpoint | undefined> {
    const contested = new Set<string>();
    for (const [id, endpoint] of changes) {
      const former = this.#endpoints.get(id)?.interfaceName;
      if (former !== undefined && former !== endpoint?.interfaceName) {
        const claims = this.#claims.get(former);
        claims?.delete(id);
        if (claims?.size === 0) this.#claims.delete(former);
        contested.add(former);
      }
      if (!endpoint) {
        this.#endpoints.delete(id);
        continue;
      }
      this.#endpoints.set(id, endpoint);
      const claims = this.#claims.get(endpoint.interfaceName);
      if (claims) claims.add(id);
      else this.#claims.set(endpoint.interfaceName, new Set([id]));
      contested.add(endpoint.interfaceName);
    }

    const result = new Map<string, LocalEndpoint | undefined>();
    const hide = (id: string) => {
      if (this.#shown.delete(id)) result.set(id, undefined);
    };
    for (const [id, endpoint] of changes) if (!endpoint) hide(id);
    for (const interfaceName of contested) {
      const [winner, ...others] = [...(this.#claims.get(interfaceName) ?? [])].sort();
      if (winner === undefined) continue;
      for (const id of others) {
        hide(id);
        if (changes.has(id)) this.#onIgnored(id, winner, interfaceName);
      }
      if (!changes.has(winner) && this.#shown.has(winner)) continue;
      this.#shown.add(winner);
      result.set(winner, this.#endpoints.get(winner));
    }
    return result;
  }
}
