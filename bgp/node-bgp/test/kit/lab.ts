/** Speakers in one simulated network, named by address, and what tests ask of them. */

import {
  acceptAll,
  type NeighborEvent,
  type Route,
  type RouteChange,
  Speaker,
  type SpeakerOptions,
} from "../../index.ts";
import { SimClock } from "./sim-clock.ts";
import { SimNetwork } from "./sim-network.ts";

export interface LabSpeaker extends Speaker {
  readonly events: NeighborEvent[];
  readonly changes: RouteChange[];
}

/** For external neighbors: everything in, everything out. */
export const EVERYTHING = { importPolicy: acceptAll, exportPolicy: acceptAll } as const;

const running: Speaker[] = [];
afterEach(async () => {
  for (const speaker of running.splice(0)) await speaker.stop();
});

export class Lab {
  readonly clock = new SimClock();
  readonly network = new SimNetwork(this.clock);
  #seed = 1;

  /** A speaker at `address`, which is also its router id; not started. */
  speaker(
    address: string,
    asn: number,
    options: Partial<SpeakerOptions> & { also?: string[] } = {},
  ): LabSpeaker {
    const { also = [], ...rest } = options;
    const speaker = new Speaker({
      asn,
      routerId: address,
      clock: this.clock,
      random: () => this.random(),
      transport: this.network.host(address, ...also),
      ...rest,
    });
    const events: NeighborEvent[] = [];
    const changes: RouteChange[] = [];
    speaker.onNeighbor(event => events.push(event));
    speaker.onRoutes(batch => changes.push(...batch));
    running.push(speaker);
    return Object.assign(speaker, { events, changes });
  }

  async start(...speakers: Speaker[]): Promise<void> {
    await Promise.all(speakers.map(speaker => speaker.start()));
  }

  /** Seconds. */
  advance(seconds: number): void {
    this.clock.advance(seconds * 1000);
  }

  random(): number {
    this.#seed = (Math.imul(this.#seed, 1103515245) + 12345) & 0x7fffffff;
    return this.#seed / 0x80000000;
  }
}

export function stateOf(speaker: Speaker, neighbor: string): string | undefined {
  return speaker.neighbor(neighbor)?.state;
}

export function prefixesOf(speaker: Speaker): string[] {
  return [...speaker.routes()].map(({ prefix }) => prefix).sort();
}

export function routeOf(speaker: Speaker, prefix: string): Route | undefined {
  return speaker.paths(prefix)[0];
}
