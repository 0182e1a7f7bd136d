/** Routes that are not learned by BGP, as next hops are looked up in them: by destination, and by interface. */

import type { Route } from "../linux/rtnetlink.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { PrefixLengths } from "./prefix-lengths.ts";

/** One way of a route of somebody else's. Without a gateway it is connected. */
export interface UnderlayHop {
  readonly gateway?: Ip;
  readonly interfaceIndex?: number;
  readonly onlink?: boolean;
}

export interface UnderlayRoute {
  readonly destination: Cidr;
  /** Lower wins. */
  readonly metric: number;
  /** None: what it covers cannot be reached (blackhole, unreachable). */
  readonly hops: readonly UnderlayHop[];
}

/** A route of the kernel's. */
export function underlayRoute(route: Route): UnderlayRoute {
  const { destination, metric = 0, type, nextHops = [route] } = route;
  const hops = type === "unicast" ? nextHops : [];
  return {
    destination,
    metric,
    hops: hops.map(({ gateway, interfaceIndex, onlink }) => ({
      ...(gateway !== undefined && { gateway }),
      ...(interfaceIndex !== undefined && { interfaceIndex }),
      ...(onlink && { onlink }),
    })),
  };
}

export class Underlay {
  readonly #lengths: PrefixLengths;
  readonly #routes = new Map<string, UnderlayRoute>();
  readonly #keysByDestination = new Map<Cidr, Set<string>>();
  readonly #keysByInterface = new Map<number, Set<string>>();

  /** Destinations are counted in `lengths`. */
  constructor(lengths: PrefixLengths) {
    this.#lengths = lengths;
  }

  get(key: string): UnderlayRoute | undefined {
    return this.#routes.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#routes.keys();
  }

  keysOver(interfaceIndex: number): readonly string[] {
    return [...(this.#keysByInterface.get(interfaceIndex) ?? [])];
  }

  /** Of the routes to exactly this destination the one that counts. */
  best(destination: Cidr): UnderlayRoute | undefined {
    let best: UnderlayRoute | undefined;
    for (const key of this.#keysByDestination.get(destination) ?? []) {
      const route = this.#routes.get(key) as UnderlayRoute;
      if (!best || route.metric < best.metric) best = route;
    }
    return best;
  }

  /** The route that had this key before. */
  set(key: string, route: UnderlayRoute): UnderlayRoute | undefined {
    const { destination, hops } = route;
    const former = this.delete(key);
    this.#routes.set(key, route);
    let keys = this.#keysByDestination.get(destination);
    if (!keys) {
      keys = new Set();
      this.#keysByDestination.set(destination, keys);
      this.#lengths.count(destination, 1);
    }
    keys.add(key);
    for (const { interfaceIndex } of hops) {
      if (interfaceIndex === undefined) continue;
      const onInterface = this.#keysByInterface.get(interfaceIndex);
      if (onInterface) onInterface.add(key);
      else this.#keysByInterface.set(interfaceIndex, new Set([key]));
    }
    return former;
  }

  /** The route that had this key. */
  delete(key: string): UnderlayRoute | undefined {
    const route = this.#routes.get(key);
    if (!route) return undefined;
    const { destination, hops } = route;
    this.#routes.delete(key);
    const keys = this.#keysByDestination.get(destination);
    keys?.delete(key);
    if (keys?.size === 0) {
      this.#keysByDestination.delete(destination);
      this.#lengths.count(destination, -1);
    }
    for (const { interfaceIndex } of hops) {
      if (interfaceIndex === undefined) continue;
      const onInterface = this.#keysByInterface.get(interfaceIndex);
      onInterface?.delete(key);
      if (onInterface?.size === 0) this.#keysByInterface.delete(interfaceIndex);
    }
    return route;
  }
}
