/** What the daemon follows besides its own resources: workloads, only while some BGPPeer selects any, and services, where there are any. */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { Reflector } from "../datastore/reflector.ts";
import { type LocalWorkload, LocalWorkloads } from "./local-workloads.ts";
import type { ServiceSource, ServiceState } from "./services.ts";

/** How long a start waits for the services. */
const SERVICES_WAIT_MS = 10_000;

export interface FollowerOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onChange: () => void;
}

export class WorkloadFollower {
  readonly #options: FollowerOptions & { readonly datastore: Datastore; readonly nodeName: string };
  #running: { readonly index: LocalWorkloads; readonly stop: AbortController } | undefined;

  constructor(options: FollowerOptions & { readonly datastore: Datastore; readonly nodeName: string }) {
    this.#options = options;
  }

  get workloads(): LocalWorkload[] {
    return this.#running?.index.all() ?? [];
  }

  /** All workloads of the cluster are a lot to be told of. */
  setNeeded(isNeeded: boolean): void {
    if (isNeeded === (this.#running !== undefined)) return;
    if (isNeeded) {
      this.#start();
      return;
    }
    this.#running?.stop.abort();
    this.#running = undefined;
  }

  #start(): void {
    const { datastore, nodeName, clock, logger, signal, onChange } = this.#options;
    const index = new LocalWorkloads(nodeName);
    const stop = new AbortController();
    this.#running = { index, stop };
    const reflector = new Reflector({
      datastore,
      queries: LocalWorkloads.queries,
      onUpdates: updates => {
        if (index.apply(updates) && !stop.signal.aborted) onChange();
      },
      logger,
      clock,
    });
    void reflector
      .run(AbortSignal.any([stop.signal, signal]))
      .catch(error => logger.error({ err: error }, "workloads are not followed"));
  }
}

export class ServiceFollower {
  /** Undefined while nothing is known of any. */
  state: ServiceState | undefined;
  /**
   * What services announce must be known before a neighbor asks, or a restart would look like a withdrawal. But a list of
   * services that cannot be had holds up nothing else for long.
   */
  readonly known: Promise<void>;

  constructor(source: ServiceSource | undefined, { logger, clock, signal, onChange }: FollowerOptions) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.known = promise;
    if (!source) {
      resolve();
      return;
    }
    const onState = (state: ServiceState) => {
      this.state = state;
      resolve();
      onChange();
    };
    source.run(onState, signal).catch(error => logger.error({ err: error }, "services are not followed"));
    void clock.sleep(SERVICES_WAIT_MS, signal).then(resolve, () => {});
  }
}
