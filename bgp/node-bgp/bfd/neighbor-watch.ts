/**
 * What BFD says of one BGP neighbor, and what that means for its session (RFC 5882):
 *  - Down after Up ends it: the path is broken, whatever TCP still believes;
 *  - a neighbor that shuts its BFD down (AdminDown) says nothing about the path (3.2), and no more does a BFD session that has never been Up:
 *    the neighbor may have none. Only `strict` makes BGP wait for BFD.
 */

import type { BfdEvent, BfdService, BfdSession, BfdSessionStatus } from "./bfd-service.ts";
import type { BfdSessionOptions, BfdTimerOptions } from "./session-options.ts";

/** The settings of a neighbor as BFD sees them. */
export interface WatchedNeighbor {
  readonly address: string;
  readonly localAddress: string | undefined;
  readonly interface: string | undefined;
  readonly ttlSecurity: number | undefined;
  readonly bfd: NeighborBfdSettings | undefined;
}

/** Milliseconds. */
export interface NeighborBfdSettings extends Required<Omit<BfdTimerOptions, "adminDown">> {
  readonly multihop: boolean;
  readonly strict: boolean;
  readonly keepRoutes: boolean;
}

export interface NeighborWatchOwner {
  /** The neighbor can be reached. */
  onPathUp(): void;
  /** It could, and cannot any more; `why` in the words of RFC 5880. */
  onPathDown(why: string): void;
}

export class NeighborWatch {
  readonly #service: () => BfdService;
  readonly #owner: NeighborWatchOwner;
  #options: BfdSessionOptions | undefined;
  #session: BfdSession | undefined;
  #isUp = false;

  /** `service` is asked for with the first neighbor that wants it. */
  constructor(service: () => BfdService, owner: NeighborWatchOwner) {
    this.#service = service;
    this.#owner = owner;
  }

  /** The path may be used as far as BFD knows. */
  allows({ bfd }: WatchedNeighbor): boolean {
    return bfd === undefined || !bfd.strict || this.#isUp;
  }

  /** Begins, changes or ends the session as the neighbor is configured; undefined: the neighbor is not wanted any more. */
  follow(neighbor: WatchedNeighbor | undefined): void {
    const options = neighbor && sessionOptions(neighbor);
    const before = this.#options;
    this.#options = options;
    if (options !== undefined && before !== undefined && leadsToSame(options, before)) {
      this.#session!.update(options);
      return;
    }
    this.#session?.remove();
    this.#session = undefined;
    this.#isUp = false;
    if (options !== undefined) this.#begin(options);
  }

  status(): BfdSessionStatus | undefined {
    return this.#session?.status();
  }

  #begin(options: BfdSessionOptions): void {
    const session = this.#service().addSession(options, event => {
      if (this.#session === session) this.#onEvent(event);
    });
    this.#session = session;
  }

  #onEvent({ state, cause, diagnostic, remoteDiagnostic }: BfdEvent): void {
    const wasUp = this.#isUp;
    this.#isUp = state === "Up";
    if (this.#isUp) this.#owner.onPathUp();
    else if (wasUp && cause === "detection-expired") this.#owner.onPathDown(diagnostic);
    else if (wasUp && cause === "neighbor-down") this.#owner.onPathDown(`${diagnostic}: ${remoteDiagnostic}`);
  }
}

function sessionOptions(neighbor: WatchedNeighbor): BfdSessionOptions | undefined {
  const { address, localAddress, interface: name, ttlSecurity, bfd } = neighbor;
  if (bfd === undefined) return undefined;
  const { transmitInterval, receiveInterval, multiplier, pollInterval, multihop } = bfd;
  // As far away as its TCP segments may come from.
  const minimumTtl = multihop && ttlSecurity !== undefined ? 256 - ttlSecurity : undefined;
  return {
    address,
    localAddress,
    interface: name,
    multihop,
    minimumTtl,
    transmitInterval,
    receiveInterval,
    multiplier,
    pollInterval,
  };
}

function leadsToSame(a: BfdSessionOptions, b: BfdSessionOptions): boolean {
  return (
    a.address === b.address &&
    a.localAddress === b.localAddress &&
    a.interface === b.interface &&
    a.multihop === b.multihop &&
    a.minimumTtl === b.minimumTtl
  );
}
