/**
 * From the interface a packet came in by, or goes out to, to the chain that judges that workload. Linear search through
 * hundreds of interfaces would cost every packet, so names are grouped by the character after the interface prefix, in
 * chains of their own; one endpoint more or less then rewrites one small chain.
 *
 * What matches no interface we know of is dropped: a veth that exists before its policy does stays dark. What is the same for
 * all workloads stands at the beginning of the root chains.
 */

import { type Rule, rule } from "iptables-ts";
import type { Direction } from "../../../policy/model.ts";
import { denyRule, type RenderContext } from "./actions.ts";
import { DIRECTIONS, dispatchChain } from "./names.ts";

/** Together with the wildcard, as long as an interface's name may be. */
const MAX_STEM = 14;

/** The dispatch chains of both directions, told of interfaces one by one. */
export class DispatchChains {
  readonly #context: RenderContext;
  /** By stem and interface name, the chains that judge it. */
  readonly #groups = new Map<string, Map<string, Readonly<Record<Direction, string>>>>();
  readonly #touched = new Set<string>();
  /** The root chains name every group, and the interface itself where it is alone in its group. */
  #rootTouched = true;

  constructor(context: RenderContext) {
    this.#context = context;
  }

  /** Adds an interface, or leads it elsewhere. */
  set(name: string, chains: Readonly<Record<Direction, string>>): void {
    const stem = this.#stemOf(name);
    const group = this.#groups.get(stem) ?? new Map();
    const former = group.get(name);
    if (former && DIRECTIONS.every(direction => former[direction] === chains[direction])) return;
    this.#groups.set(stem, group.set(name, chains));
    this.#touched.add(stem);
    if (group.size <= 2) this.#rootTouched = true;
  }

  remove(name: string): void {
    const stem = this.#stemOf(name);
    const group = this.#groups.get(stem);
    if (!group?.delete(name)) return;
    this.#touched.add(stem);
    if (group.size <= 1) this.#rootTouched = true;
    if (group.size === 0) this.#groups.delete(stem);
  }

  /** Chains that are different since the last call; undefined: there is no such chain any more. */
  drain(): Map<string, readonly Rule[] | undefined> {
    const changes = new Map<string, readonly Rule[] | undefined>();
    const unknown = denyRule(rule().comment("Unknown interface"), this.#context);
    for (const direction of DIRECTIONS) {
      for (const stem of this.#touched) {
        const leaves = this.#leaves(direction, stem);
        changes.set(dispatchChain(direction, stem), leaves.length > 1 ? [...leaves, unknown] : undefined);
      }
      if (this.#rootTouched) {
        const rules = [...beforeAll(direction, this.#context), ...this.#root(direction), unknown];
        changes.set(dispatchChain(direction), rules);
      }
    }
    this.#touched.clear();
    this.#rootTouched = false;
    return changes;
  }

  #root(direction: Direction): Rule[] {
    return [...this.#groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([stem, group]) => {
        if (group.size === 1) return this.#leaves(direction, stem)[0] as Rule;
        return on(direction, `${stem}+`).goto(dispatchChain(direction, stem));
      });
  }

  #leaves(direction: Direction, stem: string): Rule[] {
    const interfaces = [...(this.#groups.get(stem) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return interfaces.map(([name, chains]) => on(direction, name).goto(chains[direction]));
  }

  #stemOf(name: string): string {
    return stemOf(name, this.#context.config.interfacePrefix);
  }
}

/** Clears what an earlier judgement left, and keeps our tunnels to ourselves. */
function beforeAll(direction: Direction, context: RenderContext): Rule[] {
  const { config, marks } = context;
  const rules = [rule().clearMark(marks.accept + marks.pass)];
  if (direction === "ingress") return rules;
  // A workload that speaks our tunnels' protocols could inject packets into other hosts' networks.
  if (!config.allowVXLANPacketsFromWorkloads) {
    const vxlan = rule().comment("Drop VXLAN encapped packets originating in workloads").protocol("udp");
    rules.push(denyRule(vxlan.destinationPorts([config.vxlanPort]), context));
  }
  if (!config.allowIPIPPacketsFromWorkloads) {
    const ipip = rule().comment("Drop IPinIP encapped packets originating in workloads").protocol(4);
    rules.push(denyRule(ipip, context));
  }
  return rules;
}

function on(direction: Direction, name: string): Rule {
  return direction === "ingress" ? rule().outInterface(name) : rule().inInterface(name);
}

/** The interface prefix and the character after it. */
function stemOf(name: string, prefixes: readonly string[]): string {
  const prefix = prefixes.find(p => name.startsWith(p)) ?? "";
  // A name that is nothing but the prefix shares no stem: `cali+` would catch everybody.
  return name.slice(0, Math.min(prefix.length + 1, MAX_STEM));
}
