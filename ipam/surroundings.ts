/**
 * What an assignment depends on besides blocks: configuration, pools, reservations, the node's labels.
 *
 * Remembered for a second, because reading them for each address would cost more than the address. What is
 * remembered is only used for addresses out of blocks this host owns already, where the worst it can do is to
 * honour a change of pools a second late; claiming and borrowing, and every "there is none", follow a fresh look.
 * (A pool that is being deleted takes its blocks away, and with them what is remembered: the write fails.)
 */

import type { Clock } from "../daemon/clock.ts";
import { DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { key } from "../datastore/key.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { type LabelSet, type Pool, parsePool, selectsEveryNode } from "./pools.ts";
import { DEFAULT_CONFIG, type IpamConfig } from "./records.ts";
import type { IpamStore } from "./store.ts";

const MAX_AGE_MS = 1000;

export interface Surroundings {
  readonly config: IpamConfig;
  readonly pools: readonly Pool[];
  readonly reservations: readonly Cidr[];
}

export class SurroundingsCache {
  readonly #store: IpamStore;
  readonly #clock: Clock;
  #current: { value: Surroundings; readAt: number } | undefined;
  readonly #labels = new Map<string, { value: LabelSet; readAt: number }>();

  constructor(store: IpamStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Undefined where nothing recent is remembered. */
  remembered(): Surroundings | undefined {
    return this.#isRecent(this.#current) ? this.#current.value : undefined;
  }

  async read(): Promise<Surroundings> {
    const { datastore } = this.#store;
    const readAt = this.#clock.now();
    const [config, pools, reservations] = await Promise.all([
      this.#store.config(),
      datastore.list({ kind: "IPPool" }),
      datastore.list({ kind: "IPReservation" }),
    ]);
    const value = {
      config: config?.value ?? DEFAULT_CONFIG,
      pools: pools.entries.flatMap(entry => parsePool(entry.value) ?? []),
      reservations: reservations.entries.flatMap(entry =>
        ((entry.value.spec?.reservedCIDRs ?? []) as string[]).flatMap(text => parseCidr(text) ?? []),
      ),
    };
    this.#current = { value, readAt };
    this.#labels.clear();
    return value;
  }

  async rememberedOrRead(): Promise<Surroundings> {
    return this.remembered() ?? this.read();
  }

  /** Not asked for where no pool cares. A node that is not there has no labels. */
  async nodeLabels(node: string, { pools }: Surroundings): Promise<LabelSet> {
    if (pools.every(selectsEveryNode)) return {};
    const remembered = this.#labels.get(node);
    if (this.#isRecent(remembered)) return remembered.value;
    const readAt = this.#clock.now();
    const value = await this.#readLabels(node);
    this.#labels.set(node, { value, readAt });
    return value;
  }

  forget(): void {
    this.#current = undefined;
    this.#labels.clear();
  }

  async #readLabels(node: string): Promise<LabelSet> {
    try {
      return (await this.#store.datastore.get(key("Node", node))).value.metadata?.labels ?? {};
    } catch (error) {
      if (isDatastoreError(error, DatastoreErrorCode.NotFound)) return {};
      throw error;
    }
  }

  #isRecent<T extends { readAt: number }>(read: T | undefined): read is T {
    return read !== undefined && this.#clock.now() - read.readAt < MAX_AGE_MS;
  }
}
