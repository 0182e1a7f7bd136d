/** The blocks of one owner, as listed last: where its next address most likely comes from. */

import type { Cidr } from "../net/cidr.ts";
import { claim, releaseAffinity } from "./affinity.ts";
import { freeCooled, isEmpty } from "./block.ts";
import type { LabelSet } from "./pools.ts";
import { poolOf, selectsNode } from "./pools.ts";
import type { Affinity } from "./records.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Workspace } from "./workspace.ts";

export class HostBlocks {
  readonly owner: Affinity;
  #listed = false;
  #owned = new Set<Cidr>();
  #unfinished = new Set<Cidr>();

  constructor(owner: Affinity) {
    this.owner = owner;
  }

  /** Whether `owned` says anything yet. */
  get listed(): boolean {
    return this.#listed;
  }

  /** Confirmed, and the block says so too. */
  get owned(): ReadonlySet<Cidr> {
    return this.#owned;
  }

  /** Claims and releases that a crash (or another process of this host) left in the middle, and affinities whose block is gone. */
  get unfinished(): ReadonlySet<Cidr> {
    return this.#unfinished;
  }

  async list({ store, blocks }: Workspace): Promise<void> {
    const owned = new Set<Cidr>();
    const unfinished = new Set<Cidr>();
    const affinities = await store.affinities(this.owner);
    await Promise.all(
      affinities.map(async affinity => {
        const block = await blocks.read(affinity.cidr);
        if (block && block.value.affinity !== this.owner) {
          if (affinity.value.state === "confirmed") await store.deleteAffinity(affinity);
        } else if (block && affinity.value.state === "confirmed") {
          owned.add(affinity.cidr);
        } else {
          unfinished.add(affinity.cidr);
        }
      }),
    );
    // In the order of the listing, so that the same blocks fill up first.
    this.#owned = new Set(affinities.map(affinity => affinity.cidr).filter(cidr => owned.has(cidr)));
    this.#unfinished = unfinished;
    this.#listed = true;
  }

  /** Whether the block is now ours. */
  async claim({ store, retry, blocks }: Workspace, cidr: Cidr): Promise<boolean> {
    const block = await claim(store, retry, this.owner, cidr);
    this.#unfinished.delete(cidr);
    if (!block) return false;
    blocks.remember(block);
    this.#owned.add(cidr);
    return true;
  }

  /** Gives back empty blocks of pools that do not select this node any more. */
  async releaseDeselected(work: Workspace, around: Surroundings, labels: LabelSet): Promise<void> {
    const cooldownSeconds = around.config.ipCooldownSeconds;
    for (const cidr of this.#owned) {
      const pool = poolOf(around.pools, cidr);
      if (!pool || selectsNode(pool, labels)) continue;
      const block = work.blocks.remembered(cidr)?.value;
      if (!block || !isEmpty(freeCooled(block, cooldownSeconds, work.retry.clock.now()))) continue;
      work.logger?.info({ block: cidr, pool: pool.name }, "releasing a block: its pool deselected this node");
      this.#owned.delete(cidr);
      work.blocks.forget(cidr);
      await releaseAffinity(work.store, work.retry, this.owner, cidr, {
        cooldownSeconds,
        onlyIfEmpty: true,
      }).catch(error => work.logger?.warn({ err: error, block: cidr }, "could not release the block"));
    }
  }
}
