/**
 * Brings the kernel to where the calculation says, in the order that fails closed:
 *
 *   routes of endpoints that go  ->  sets, rules  ->  interfaces and routes of endpoints that come  ->  status files
 *
 * One pass at a time. What arrives meanwhile waits, also for the packet filter, for the next one: else rules could
 * reach the kernel before the sets they use. A refused commit leaves everything as it was, lets no new endpoint in, and
 * is tried again with growing pauses. Nothing is touched before the first complete state has arrived; the first pass
 * after it removes what an earlier run left behind.
 */

import { jitteredBackoff } from "../../daemon/backoff.ts";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { KernelEvent } from "../../linux/events.ts";
import type { Changes, LocalEndpoint } from "../calc/changes.ts";
import type { FelixConfig } from "../calc/config.ts";
import type { EndpointStatus } from "./endpoint-status.ts";
import type { EstablishedFlows } from "./established-flows.ts";
import type { KernelPart } from "./kernel-part.ts";
import type { PacketFilter } from "./packet-filter.ts";
import type { WorkloadLinks } from "./workload-links.ts";

type Watched = "rules" | "sets";
const WATCHED: readonly Watched[] = ["rules", "sets"];

export interface DataplaneOptions {
  readonly filter: PacketFilter;
  readonly links: Pick<
    WorkloadLinks,
    "pending" | "admit" | "dismiss" | "sweep" | "applyRemovals" | "applyAdditions" | "noteEvents" | "resync"
  >;
  /** What else there is to bring about: tunnels, queues. */
  readonly parts?: readonly KernelPart[];
  readonly status: Pick<EndpointStatus, "start" | "write" | "remove">;
  readonly config: Pick<
    FelixConfig,
    "iptablesRefreshInterval" | "ipsetsRefreshInterval" | "routeRefreshInterval"
  >;
  /** Absent: what was let through once goes on. */
  readonly flows?: Pick<EstablishedFlows, "update" | "taken" | "inForce" | "run">;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Different once anybody has changed rules or sets (outside-changes.ts). Absent: only the refresh interval finds that. */
  readonly generation?: (of: Watched) => number;
  /** After each pass: how long it took, and whether the kernel took it. */
  readonly onApplied?: (pass: { readonly milliseconds: number; readonly ok: boolean }) => void;
}

const WATCH_MS = 500;
const WATCH_MAX_MS = 8_000;

export class Dataplane {
  readonly #options: DataplaneOptions;
  /** Not yet taken over. */
  #incoming: Changes[] = [];
  readonly #endpoints = new Map<string, LocalEndpoint>();
  /** Endpoints whose rules are not yet known to be in the kernel. */
  readonly #awaiting = new Set<string>();
  #started = false;
  #swept = false;
  #wake: (() => void) | undefined;
  #dirty = false;
  #passing = false;
  #failure: string | undefined;
  #passes = 0;
  /**
   * What could not be done is tried again: routes whose interface is busy or whose place somebody else holds, sets that
   * the kernel has not yet let go of.
   */
  readonly #retries = jitteredBackoff({ firstMs: 250, maxMs: 10_000 });
  #retrying = false;
  #committing = false;
  /** After our last commit or look. */
  readonly #generations = new Map<Watched, number | undefined>();

  readonly #parts: readonly KernelPart[];
  readonly #linksAndParts: readonly Omit<KernelPart, "update">[];

  constructor(options: DataplaneOptions) {
    const { links, parts = [] } = options;
    this.#options = options;
    this.#parts = parts;
    this.#linksAndParts = [links, ...parts];
  }

  /** Takes differences over; cheap. */
  update(changes: Changes): void {
    this.#incoming.push(changes);
    this.#options.flows?.update(changes);
    this.#kick();
  }

  /** The first complete state has arrived: the kernel may be changed from now on. */
  start(): void {
    this.#attemptStatus(() => this.#options.status.start());
    for (const each of this.#linksAndParts) each.resync();
    this.#started = true;
    this.#kick();
  }

  noteKernelEvents(events: readonly KernelEvent[]): void {
    for (const each of this.#linksAndParts) if (each.noteEvents(events)) this.#kick();
  }

  /** Undefined when the last pass went through. */
  get failure(): string | undefined {
    return this.#passes === 0 ? "nothing applied yet" : this.#failure;
  }

  /** Whether everything that arrived is in force in the kernel. */
  get settled(): boolean {
    return this.#started && !this.#dirty && !this.#passing && this.failure === undefined;
  }

  /** Until the signal aborts. @throws what a change could not be translated for: what is in force stays */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const backoff = jitteredBackoff({ firstMs: 50, maxMs: 5_000 });
    void this.#resyncLoop(signal);
    const flows = this.#options.flows?.run(signal);
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
      this.#passing = true;
      for (const changes of this.#incoming.splice(0)) this.#take(changes);
      this.#options.flows?.taken();
      const begun = performance.now();
      try {
        await this.#pass();
        this.#options.flows?.inForce();
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
      this.#passing = false;
      this.#passes++;
      this.#options.onApplied?.({ milliseconds: performance.now() - begun, ok: this.#failure === undefined });
      if (this.#failure !== undefined) await clock.sleep(backoff.next(), signal).catch(() => {});
      else this.#retryLater(signal);
    }
    await flows;
  }

  /** Everything that goes first: an interface may pass from one endpoint to another. */
  #take(changes: Changes): void {
    const { filter, links, status } = this.#options;
    for (const [id, endpoint] of changes.endpoints) {
      const former = this.#endpoints.get(id);
      if (!former) continue;
      if (former.interfaceName !== endpoint?.interfaceName) links.dismiss(former.interfaceName);
      if (former.id !== endpoint?.id) this.#attemptStatus(() => status.remove(former.id));
      this.#endpoints.delete(id);
      this.#awaiting.delete(id);
    }
    for (const [id, endpoint] of changes.endpoints) {
      if (!endpoint) continue;
      this.#endpoints.set(id, endpoint);
      this.#awaiting.add(id);
    }
    filter.update(changes);
    for (const part of this.#parts) part.update(changes);
  }

  async #pass(): Promise<void> {
    const { filter, links, status } = this.#options;
    for (const each of this.#linksAndParts) each.applyRemovals();
    try {
      if (filter.pending) await this.#commit();
    } catch (error) {
      // Endpoints that were admitted under the rules in force keep what leads to them.
      for (const each of this.#linksAndParts) each.applyAdditions();
      throw error;
    }
    const inForce = [...this.#awaiting].map(id => this.#endpoints.get(id) as LocalEndpoint);
    for (const endpoint of inForce) links.admit(endpoint);
    links.applyRemovals();
    for (const each of this.#linksAndParts) each.applyAdditions();
    if (!this.#swept) {
      // Only now: before the first endpoints are admitted, every route of an earlier run looks unwanted.
      for (const each of this.#linksAndParts) {
        each.sweep();
        each.applyRemovals();
      }
      this.#swept = true;
    }
    for (const endpoint of inForce) this.#attemptStatus(() => status.write(endpoint));
    this.#awaiting.clear();
  }

  async #commit(): Promise<void> {
    this.#committing = true;
    try {
      await this.#options.filter.commit();
    } finally {
      this.#committing = false;
      for (const what of WATCHED) this.#generations.set(what, this.#options.generation?.(what));
    }
  }

  /** Whoever waits for a file that cannot be written waits in vain, but policy does not depend on it. */
  #attemptStatus(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.logger.error({ err: error }, "could not say which endpoints are ready");
    }
  }

  /** One at a time, however many passes there are meanwhile. */
  #retryLater(signal: AbortSignal): void {
    if (!this.#pending) {
      this.#retries.reset();
      return;
    }
    if (this.#retrying) return;
    this.#retrying = true;
    const again = () => {
      this.#retrying = false;
      this.#kick();
    };
    this.#options.clock.sleep(this.#retries.next(), signal).then(again, () => {});
  }

  get #pending(): boolean {
    return this.#options.filter.pending || this.#linksAndParts.some(each => each.pending);
  }

  #kick(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  /** Whatever happened unseen is found and repaired here. */
  async #resyncLoop(signal: AbortSignal): Promise<void> {
    const { clock, config, filter, logger } = this.#options;
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
        if (this.#pending) this.#kick();
      }
    };
    await Promise.all([
      every(config.iptablesRefreshInterval, "rules", () => filter.resync("rules")),
      every(config.ipsetsRefreshInterval, "sets", () => filter.resync("sets")),
      every(config.routeRefreshInterval, "routes", () => {
        for (const each of this.#linksAndParts) each.resync();
      }),
      ...WATCHED.map(what => this.#watch(what, signal)),
    ]);
  }

  /**
   * Rules that somebody flushes are no rules, and an empty set allows nobody: what others do is looked at within the second. Where
   * they do it all the time and leave ours alone, looks become rarer.
   */
  async #watch(what: Watched, signal: AbortSignal): Promise<void> {
    const { clock, filter, logger, generation } = this.#options;
    if (!generation) return;
    let pause = WATCH_MS;
    while (!signal.aborted) {
      await clock.sleep(pause, signal).catch(() => {});
      if (signal.aborted || this.#passes === 0 || this.#committing) continue;
      const now = generation(what);
      if (now === this.#generations.get(what)) {
        pause = WATCH_MS;
        continue;
      }
      this.#generations.set(what, now);
      try {
        await filter.resync(what);
      } catch (error) {
        logger.warn({ err: error }, `could not look at the ${what}`);
      }
      pause = filter.pending ? WATCH_MS : Math.min(2 * pause, WATCH_MAX_MS);
      if (!filter.pending) continue;
      logger.warn(`somebody changed our ${what}; putting them back`);
      this.#kick();
    }
  }
}
