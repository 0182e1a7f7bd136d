/** The public class; declared here first so that its users can be written, implemented in the next commit. */

import type { NeighborEvent, NeighborOptions, NeighborStatus, UpdateProblemEvent } from "./neighbor.ts";
import type { Family, LocalRoute, Route, RouteChange } from "./route.ts";
import type { SpeakerOptions, StopOptions } from "./speaker-options.ts";

export declare class BgpSpeaker {
  constructor(options: SpeakerOptions);
  /** Resolves once route selection is no longer deferred: at once after a cold start, after End-of-RIB from the neighbors (or a cap) after a restart. The first batch of onRoutes has been delivered by then. */
  readonly ready: Promise<void>;
  readonly deferring: boolean;
  /** Where we listen; undefined while stopped or with `listen: false`. */
  readonly port: number | undefined;
  start(): Promise<void>;
  stop(options?: StopOptions): Promise<void>;
  addNeighbor(options: NeighborOptions): void;
  /** Replaces all options. Policies and export settings change in place; anything else resets the session. */
  updateNeighbor(options: NeighborOptions): void;
  removeNeighbor(address: string, message?: string): void;
  /** Ends the session with Cease/Administrative Reset; it comes back by itself. */
  resetNeighbor(address: string, message?: string): void;
  /** Originates a route, or replaces the one of the same prefix. */
  announce(route: LocalRoute): void;
  withdraw(prefix: string): void;
  onRoutes(listener: (changes: readonly RouteChange[]) => void): () => void;
  onNeighbor(listener: (event: NeighborEvent) => void): () => void;
  onUpdateProblem(listener: (event: UpdateProblemEvent) => void): () => void;
  neighbors(): NeighborStatus[];
  neighbor(address: string): NeighborStatus | undefined;
  /** Best routes. */
  routes(family?: Family): IterableIterator<Route>;
  /** Every path to a prefix, the best one first. */
  paths(prefix: string): Route[];
  /** What is advertised to a neighbor. */
  advertised(address: string): IterableIterator<Route>;
  /** The export policy answers differently now: evaluate it again, and send what changed. */
  refreshExports(address?: string): void;
  /** The import policy answers differently now: asks the neighbors to send again (ROUTE-REFRESH). */
  refreshImports(address?: string): void;
}
