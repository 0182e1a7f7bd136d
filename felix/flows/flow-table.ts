/**
 * The flows of the last while: of how long, and how many at most, is fixed, so that no traffic can fill the memory. Where
 * there are too many, those seen longest ago go first.
 */

import type { Flow } from "./flow.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class FlowTable {
  readonly #maxFlows: number;
  readonly #windowMs: number;
  /** The one seen last at the end. */
  readonly #flows = new Map<string, Mutable<Flow>>();

  constructor(options: { readonly maxFlows: number; readonly windowMs: number }) {
    this.#maxFlows = options.maxFlows;
    this.#windowMs = options.windowMs;
  }

  /** Adds what was seen to what is known of the same flow. */
  add(flow: Flow): void {
    this.#expire(flow.last);
    const key = flowKey(flow);
    const known = this.#flows.get(key);
    if (known === undefined) {
      if (this.#flows.size >= this.#maxFlows) this.#flows.delete(this.#flows.keys().next().value as string);
      this.#flows.set(key, { ...flow });
      return;
    }
    known.packets += flow.packets;
    known.bytes += flow.bytes;
    known.last = flow.last;
    // Names may have become known meanwhile.
    known.source = flow.source;
    known.destination = flow.destination;
    if (flow.staged) known.staged = flow.staged;
    else delete known.staged;
    this.#flows.delete(key);
    this.#flows.set(key, known);
  }

  /** The one seen last at the end. */
  list(now: number): Flow[] {
    this.#expire(now);
    return [...this.#flows.values()];
  }

  #expire(now: number): void {
    for (const [key, { last }] of this.#flows) {
      if (last >= now - this.#windowMs) return;
      this.#flows.delete(key);
    }
  }
}

function flowKey({ source, destination, protocol, port, icmp, direction, verdict, decidedBy }: Flow): string {
  const target = port ?? (icmp && `${icmp.type}/${icmp.code}`) ?? "";
  const rule = Object.values(decidedBy).join(" ");
  return `${source.address} ${destination.address} ${protocol} ${target} ${direction} ${verdict} ${rule}`;
}
