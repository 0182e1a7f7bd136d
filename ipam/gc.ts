/**
 * Empty blocks back to all: a host that once ran many workloads would otherwise keep its blocks for ever.
 *
 * A block is given back when two looks in a row found it empty and unchanged, so that one that is emptied and
 * filled in turn stays; and a host keeps its last block, which it would only claim anew. The looks are as far
 * apart as the caller runs them (Calico: minutes).
 */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import { type Cidr, cidrVersion } from "../net/cidr.ts";
import type { IpAllocator } from "./allocator.ts";
import { freeCooled, isEmpty } from "./block.ts";
import { isIpamError } from "./errors.ts";
import type { Affinity, AllocationBlock } from "./records.ts";
import type { IpamStore } from "./store.ts";

export class EmptyBlockCollector {
  readonly #store: IpamStore;
  readonly #allocator: IpAllocator;
  readonly #clock: Clock;
  readonly #logger: Logger | undefined;
  readonly #owner: Affinity | undefined;
  /** Blocks empty at the last look, with their sequence numbers then. */
  #seenEmpty = new Map<Cidr, bigint>();

  /** With an `owner`, only its blocks are looked at: what each host does for itself where nobody does it for all. */
  constructor(options: {
    store: IpamStore;
    allocator: IpAllocator;
    clock: Clock;
    logger?: Logger | undefined;
    owner?: Affinity;
  }) {
    this.#store = options.store;
    this.#allocator = options.allocator;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#owner = options.owner;
  }

  /** Looks again and again until the signal; a store that is away is asked the next time. */
  async runEvery(intervalMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(intervalMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const released = await this.run();
        if (released.length > 0) this.#logger?.info({ blocks: released }, "gave empty blocks back");
      } catch (error) {
        this.#logger?.debug({ err: error }, "could not look for empty blocks");
      }
    }
  }

  /** Looks once; gives the blocks that were given back. */
  async run(): Promise<Cidr[]> {
    const { ipCooldownSeconds } = await this.#allocator.config();
    const blocks = (await this.#blocks()).map(block =>
      freeCooled(block, ipCooldownSeconds, this.#clock.now()),
    );
    const surplus = surplusBlocks(blocks);
    const settled = surplus.filter(
      ({ cidr, sequenceNumber }) => this.#seenEmpty.get(cidr) === sequenceNumber,
    );
    this.#seenEmpty = new Map(surplus.map(({ cidr, sequenceNumber }) => [cidr, sequenceNumber]));
    const released: Cidr[] = [];
    for (const { cidr, affinity, sequenceNumber } of settled) {
      try {
        await this.#allocator.releaseBlock(affinity!, cidr, { onlyIfEmpty: true, sequenceNumber });
        released.push(cidr);
      } catch (error) {
        if (!isIpamError(error)) throw error;
        this.#logger?.debug({ err: error, block: cidr }, "the block came back into use");
      }
    }
    return released;
  }

  async #blocks(): Promise<AllocationBlock[]> {
    if (this.#owner === undefined) return (await this.#store.blocks()).map(({ value }) => value);
    const affinities = await this.#store.affinities(this.#owner);
    const found = await Promise.all(affinities.map(({ cidr }) => this.#store.block(cidr)));
    // Somebody else's by now, or not yet ours: the affinity is a claim, the block is the fact.
    return found.flatMap(stored => (stored && stored.value.affinity === this.#owner ? [stored.value] : []));
  }
}

/** Empty blocks that their owners could spare, each owner (and family) keeping one block. */
export function surplusBlocks(blocks: readonly AllocationBlock[]): AllocationBlock[] {
  const byOwner = Map.groupBy(
    blocks.filter(block => block.affinity !== null),
    block => `${block.affinity} ${cidrVersion(block.cidr)}`,
  );
  return [...byOwner.values()].flatMap(owned => {
    const empty = owned.filter(isEmpty);
    return empty.length === owned.length ? empty.slice(1) : empty;
  });
}
