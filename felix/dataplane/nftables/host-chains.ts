/**
 * The chains of host endpoints: for each kind of policy, at its place in a packet's way, a map from interfaces to chains,
 * and for interfaces without one of their own, workloads' excepted, the chain of `*` (calico.md, Appendix C).
 */

import { interfaceData } from "../../../linux/nf-tables/data.ts";
import { verdictMap } from "../../../linux/nf-tables/expression.ts";
import type { Direction } from "../../../policy/model.ts";
import { ANY_INTERFACE, type LocalHostEndpoint } from "../../calc/changes.ts";
import type { RenderContext } from "./context.ts";
import { type HostCategory, hostRules } from "./endpoint-chains.ts";
import { failsafeChains } from "./failsafes.ts";
import { ElementSet } from "./kept-set.ts";
import type { LinkedChains } from "./linked-chains.ts";
import { byInterfacePrefix, clearMark, loadInterface } from "./match.ts";
import {
  chainName,
  DIRECTIONS,
  dispatchMap,
  hostChain,
  hostDispatch,
  hostForwardDispatch,
  type Layer,
} from "./names.ts";
import { doing, plain, type TableRule } from "./rule.ts";

interface Place {
  readonly layer: Layer;
  readonly category: HostCategory;
  readonly direction: Direction;
  /** Name of the chain that hooks go to. */
  readonly dispatch: string;
  readonly context: RenderContext;
  readonly map: ElementSet;
  /** Interfaces with a chain here; the others' packets go on. */
  readonly governed: Set<string>;
}

export class HostChains {
  readonly maps: readonly ElementSet[];
  readonly #chains: LinkedChains;
  readonly #places: readonly Place[];

  constructor(chains: LinkedChains, context: RenderContext) {
    this.#chains = chains;
    const place = (layer: Layer, category: HostCategory, direction: Direction): Place => {
      const dispatch = category === "forward" ? hostForwardDispatch(direction) : hostDispatch(direction);
      const map = new ElementSet({ name: dispatchMap(layer, dispatch), key: ["ifname"], data: "verdict" });
      return {
        layer,
        category,
        direction,
        dispatch,
        context: { ...context, layer },
        map,
        governed: new Set(),
      };
    };
    this.#places = [
      ...DIRECTIONS.map(direction => place("raw", "untracked", direction)),
      place("mangle", "preDNAT", "ingress"),
      // What the host itself sends to a translated destination.
      place("mangle", "normal", "egress"),
      ...DIRECTIONS.map(direction => place("filter", "normal", direction)),
      ...DIRECTIONS.map(direction => place("filter", "forward", direction)),
    ];
    this.maps = this.#places.map(({ map }) => map);
    for (const each of this.#places) this.#setDispatch(each);
    for (const layer of ["raw", "mangle", "filter"] as const) {
      for (const [name, { rules }] of failsafeChains({ ...context, layer })) chains.offer(name, () => rules);
    }
  }

  set(interfaceName: string, endpoint: LocalHostEndpoint): void {
    this.#update(interfaceName, ({ category, direction, context }) =>
      hostRules(endpoint, category, direction, context),
    );
  }

  remove(interfaceName: string): void {
    this.#update(interfaceName, () => undefined);
    for (const { map } of this.#places) map.remove(interfaceData(interfaceName));
  }

  #update(interfaceName: string, rulesAt: (place: Place) => TableRule[] | undefined): void {
    for (const place of this.#places) {
      const { layer, direction, category, map, governed } = place;
      const name = hostChain(layer, direction, interfaceName, category === "forward");
      const rules = rulesAt(place);
      if (rules) {
        this.#chains.set(name, { rules });
        governed.add(interfaceName);
      } else {
        this.#chains.remove(name);
        governed.delete(interfaceName);
      }
      if (interfaceName !== ANY_INTERFACE)
        map.put({ key: interfaceData(interfaceName), verdict: rules ? { goto: name } : "return" });
      this.#setDispatch(place);
    }
  }

  /** Empty while it leads nowhere: most hosts have no host endpoints. */
  #setDispatch({ layer, dispatch, direction, category, context, map, governed }: Place): void {
    const side = direction === "ingress" ? "in" : "out";
    const { accept, pass } = context.marks;
    const any = governed.has(ANY_INTERFACE)
      ? [
          ...context.config.interfacePrefix.map(prefix => plain(byInterfacePrefix(side, prefix), "return")),
          plain([], { goto: hostChain(layer, direction, ANY_INTERFACE, category === "forward") }),
        ]
      : [];
    const rules =
      governed.size === 0
        ? []
        : [doing(clearMark(accept | pass)), doing([loadInterface(side), verdictMap(map.set.name)]), ...any];
    this.#chains.set(chainName(layer, dispatch), { rules });
  }
}
