/**
 * Brings the kernel to where the calculation says, in the order that fails closed:
 *
 *   routes of endpoints that go  ->  sets, rules  ->  interfaces and routes of endpoints that come  ->  status files
 *
 * One pass at a time; what arrives meanwhile waits for the next. A refused commit leaves everything as it was, lets no
 * new endpoint in, and is tried again with growing pauses. Nothing is touched before the first complete state has
 * arrived; the first pass after it removes what an earlier run left behind.
 */

import { jitteredBackoff } from "../../daemon/backoff.ts";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { KernelEvent } from "../../linux/events.ts";
import type { Changes, LocalEndpoint } from "../calc/changes.ts";
import type { FelixConfig } from "../calc/config.ts";
import type { EndpointStatus } from "./endpoint-status.ts";
import type { PacketFilter } from "./packet-filter.ts";
import type { WorkloadLinks } from "./workload-links.ts";

export interface DataplaneOptions {
  readonly filter: PacketFilter;
  readonly links: WorkloadLinks;
  readonly status: EndpointStatus;
  readonly config: FelixConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** After each pass: how long it took, and whether the kernel took it. */
  readonly onApplied?: (pass: { readonly milliseconds: number; readonly ok: boolean }) => void;
}

/** Routes that could not be written (their interface is busy coming up) are tried again this soon. */
const RETRY_MS = 250;

export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #endpoints = new Map<string, LocalEndpoint>();
  /** Endpoints whose rules are not yet known to be in the kernel. */
  readonly #awaiting = new Set<string>();
  #started = false;
  #swept = false;
  #wake: (() => void) | undefined;
  #dirty = false;
  #failure: string | undefined;
  #passes = 0;

  constructor(options: DataplaneOptions) {
    this.#options = options;
  }

  /** Takes differences over; cheap. */
  update(changes: Changes): void {
    const { filter, links, status } = this.#options;
    for (const [id, endpoint] of changes.endpoints) {
      const former = this.#endpoints.get(id);
      if (former && former.interfaceName !== endpoint?.interfaceName) links.dismiss(former.interfaceName);
      if (former && former.id !== endpoint?.id) status.remove(former.id);
      if (endpoint) {
        this.#endpoints.set(id, endpoint);
        this.#awaiting.add(id);
      } else {
        this.#endpoints.delete(id);
        this.#awaiting.delete(id);
      }
    }
    filter.update(changes);
    this.#kick();
  }

  /** The first complete state has arrived: the kernel may be changed from now on. */
  start(): void {
    this.#options.status.start();
    this.#options.links.resync();
    this.#started = true;
    this.#kick();
  }

  noteKernelEvents(events: readonly KernelEvent[]): void {
    if (this.#options.links.noteEvents(events)) this.#kick();
  }

  /** Undefined when the last pass went through. */
  get failure(): string | undefined {
    return this.#passes === 0 ? "nothing applied yet" : this.#failure;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const backoff = jitteredBackoff({ firstMs: 50, maxMs: 5_000 });
    void this.#resyncLoop(signal);
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      if (!this.#started || !this.#dirty) {
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      this.#dirty = false;
      const begun = performance.now();
      try {
        await this.#pass();
        if (this.#failure !== undefined) logger.info("the kernel takes our rules again");
        this.#failure = undefined;
        backoff.reset();
      } catch (error) {
        const message = (error as Error).message;
        if (this.#failure !== message)
          logger.error({ err: error }, "the kernel refused a change; what was in force stays, trying again");
        this.#failure = message;
        this.#dirty = true;
      }
      this.#passes++;
      this.#options.onApplied?.({ milliseconds: performance.now() - begun, ok: this.#failure === undefined });
      if (this.#failure !== undefined) await clock.sleep(backoff.next(), signal).catch(() => {});
      else if (this.#options.links.pending)
        void clock.sleep(RETRY_MS, signal).then(
          () => this.#kick(),
          () => {},
        );
    }
  }

  async #pass(): Promise<void> {
    const { filter, links, status } = this.#options;
    links.applyRemovals();
    // Only these are covered by the commit: what arrives while it runs belongs to the next pass.
    const covered = [...this.#awaiting].map(id => [id, this.#endpoints.get(id)] as const);
    if (filter.pending) await filter.commit();
    const inForce: LocalEndpoint[] = [];
    for (const [id, endpoint] of covered) {
      if (!endpoint || this.#endpoints.get(id) !== endpoint) continue;
      this.#awaiting.delete(id);
      inForce.push(endpoint);
      links.admit(endpoint);
    }
    links.applyRemovals();
    links.applyAdditions();
    if (!this.#swept) {
      // Only now: before the first endpoints are admitted, every route of an earlier run looks unwanted.
      links.sweep();
      links.applyRemovals();
      this.#swept = true;
    }
    for (const endpoint of inForce) status.write(endpoint);
  }

  #kick(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  /** Whatever happened unseen is found and repaired here. */
  async #resyncLoop(signal: AbortSignal): Promise<void> {
    const { clock, config, filter, links, logger } = this.#options;
    const every = async (intervalMs: number, what: string, resync: () => Promise<void> | void) => {
      if (intervalMs === 0) return;
      while (!signal.aborted) {
        await clock.sleep(intervalMs, signal).catch(() => {});
        if (signal.aborted || !this.#started) continue;
        try {
          await resync();
        } catch (error) {
          logger.warn({ err: error, what }, "could not look at the kernel");
        }
        if (filter.pending || links.pending) this.#kick();
      }
    };
    await Promise.all([
      every(config.iptablesRefreshInterval, "rules", () => filter.resync("rules")),
      every(config.ipsetsRefreshInterval, "sets", () => filter.resync("sets")),
      every(config.routeRefreshInterval, "routes", () => links.resync()),
    ]);
  }
}
