/**
 * Keeps the node's tunnel addresses as the pools want them (ipam/tunnel-addresses.ts): looks when felix starts, and again
 * whenever a pool or the own Node has changed. What fails is tried again; policy and routes do not wait for it.
 */

import { jitteredBackoff } from "../daemon/backoff.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import type { Update } from "../datastore/reflector.ts";
import { ensureTunnelAddresses } from "../ipam/tunnel-addresses.ts";

export interface TunnelAddressesOptions {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class TunnelAddresses {
  readonly #options: TunnelAddressesOptions;
  #changed = Promise.withResolvers<void>();

  constructor(options: TunnelAddressesOptions) {
    this.#options = options;
    this.#changed.resolve();
  }

  noteUpdates(updates: readonly Update[]): void {
    const { nodeName } = this.#options;
    const matters = ({ key: { kind, name } }: Update) =>
      kind === "IPPool" || (kind === "Node" && name === nodeName);
    if (updates.some(matters)) this.#changed.resolve();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const backoff = jitteredBackoff({ firstMs: 250, maxMs: 30_000 });
    const aborted = new Promise<void>(resolve =>
      signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    let reported = "";
    while (!signal.aborted) {
      await Promise.race([this.#changed.promise, aborted]);
      if (signal.aborted) return;
      this.#changed = Promise.withResolvers();
      try {
        await ensureTunnelAddresses(this.#options);
        backoff.reset();
        reported = "";
      } catch (error) {
        const { message } = error as Error;
        if (message !== reported)
          logger.error({ err: error }, "could not give this node its tunnel addresses, trying again");
        reported = message;
        this.#changed.resolve();
        await clock.sleep(backoff.next(), signal).catch(() => {});
      }
    }
  }
}
