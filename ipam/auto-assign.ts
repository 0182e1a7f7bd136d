/**
 * Where the next addresses of a host come from, in this order:
 *
 *   1. its own blocks, as remembered: mostly no reads at all
 *   2. its own blocks, read afresh
 *   3. blocks it half owns (a claim cut short by a crash)
 *   4. new blocks: never claimed ones; where there are none, empty ones that other hosts have had for a while
 *   5. other hosts' blocks, one address at a time (borrowing), unless affinity is strict
 *
 * Requests of one host run one after the other (`allocator.ts`), so that a host does not race itself for blocks.
 */

import { type Cidr, cidrVersion } from "../net/cidr.ts";
import type { IpVersion } from "../net/ip.ts";
import { isReclaimable, reclaim } from "./affinity.ts";
import { countFree, freeCooled, newBlock, reservedIn } from "./block.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";
import type { HostBlocks } from "./host-blocks.ts";
import {
  type AllowedUse,
  blocksFrom,
  distanceFromStart,
  type LabelSet,
  type Pool,
  poolOf,
  selectPools,
} from "./pools.ts";
import type { AllocationAttribute, AllocationBlock } from "./records.ts";
import type { Surroundings } from "./surroundings.ts";
import { type Assigned, take } from "./take.ts";
import type { Workspace } from "./workspace.ts";

/** Without a limit asked for, a host owns at most this many blocks of a family. */
const DEFAULT_MAX_BLOCKS = 20;

export interface FamilyRequest {
  readonly version: IpVersion;
  readonly count: number;
  readonly node: string;
  readonly use: AllowedUse;
  readonly attribute: AllocationAttribute;
  readonly pools: readonly string[] | undefined;
  readonly namespaceLabels: LabelSet;
  readonly maxBlocks: number | undefined;
}

/** Addresses so far; `shortfall` says why there are fewer than asked for. */
export interface FamilyResult {
  readonly assigned: Assigned[];
  readonly messages: string[];
  readonly shortfall: IpamError | undefined;
}

export async function autoAssign(
  work: Workspace,
  host: HostBlocks,
  request: FamilyRequest,
): Promise<FamilyResult> {
  const search = new Search(work, host, request);
  const remembered = work.surroundings.remembered();
  let fresh = remembered ? undefined : await work.surroundings.read();
  if (host.listed) await search.ownBlocks(fresh ?? remembered!).catch(ignoreNoPool);
  if (search.missing > 0) {
    fresh ??= await work.surroundings.read();
    await search.everywhere(fresh);
  }
  return search.result();
}

class Search {
  readonly #work: Workspace;
  readonly #host: HostBlocks;
  readonly #request: FamilyRequest;
  readonly #assigned: Assigned[] = [];
  readonly #messages: string[] = [];
  #shortfall: IpamError | undefined;
  #blocks: AllocationBlock[] | undefined;
  #around!: Surroundings;
  #pools!: Pool[];
  #labels!: LabelSet;

  constructor(work: Workspace, host: HostBlocks, request: FamilyRequest) {
    this.#work = work;
    this.#host = host;
    this.#request = request;
  }

  get missing(): number {
    return this.#request.count - this.#assigned.length;
  }

  result(): FamilyResult {
    return {
      assigned: this.#assigned,
      messages: this.#messages,
      shortfall: this.missing > 0 ? (this.#shortfall ?? this.#exhausted()) : undefined,
    };
  }

  async ownBlocks(around: Surroundings): Promise<void> {
    await this.#choosePools(around);
    for (const cidr of this.#inPools(this.#host.owned)) {
      if (this.missing === 0) return;
      await this.#take(cidr, "own");
    }
  }

  async everywhere(around: Surroundings): Promise<void> {
    await this.#choosePools(around);
    await this.#host.list(this.#work);
    await this.#host.releaseDeselected(this.#work, around, this.#labels);
    await this.ownBlocks(around);
    for (const cidr of this.#inPools(this.#host.unfinished)) {
      if (this.missing === 0) return;
      await this.#claim(cidr);
    }
    if (this.missing > 0) await this.#claimBlocks();
    if (this.missing > 0 && !around.config.strictAffinity) await this.#borrow(await this.#existing());
  }

  async #choosePools(around: Surroundings): Promise<void> {
    this.#around = around;
    this.#labels = await this.#work.surroundings.nodeLabels(this.#request.node, around);
    this.#pools = selectPools(around.pools, {
      ...this.#request,
      nodeLabels: this.#labels,
      requested: this.#request.pools,
    });
  }

  async #claimBlocks(): Promise<void> {
    if (!this.#around.config.autoAllocateBlocks) {
      this.#messages.push("no new blocks are claimed: autoAllocateBlocks is off");
      return;
    }
    // In a large cluster the affinities are a fiftieth of the blocks to read. They miss only blocks that nobody owns
    // any more, which refuse to be claimed; then it is time to look at the blocks themselves.
    const owned = (await this.#work.store.affinities()).map(affinity => affinity.cidr);
    for (const cidr of this.#neverClaimed(owned)) {
      if (this.missing === 0 || this.#atLimit()) return;
      if (!(await this.#claim(cidr))) break;
    }
    if (this.missing === 0) return;
    const existing = await this.#existing();
    for (const cidr of this.#neverClaimed(existing.map(block => block.cidr))) {
      if (this.missing === 0 || this.#atLimit()) return;
      await this.#claim(cidr);
    }
    const cooldown = this.#around.config.ipCooldownSeconds;
    for (const block of this.#others(existing)) {
      if (this.missing === 0 || this.#atLimit()) return;
      if (!isReclaimable(block, cooldown, this.#work.retry.clock.now())) continue;
      this.#work.blocks.forget(block.cidr);
      if (!(await reclaim(this.#work.store, this.#work.retry, block, cooldown))) continue;
      this.#work.logger?.info({ block: block.cidr, from: block.affinity }, "took over an empty block");
      await this.#claim(block.cidr);
    }
  }

  /** False where the block is somebody else's, or nobody's any more. */
  async #claim(cidr: Cidr): Promise<boolean> {
    if (!(await this.#host.claim(this.#work, cidr))) return false;
    await this.#take(cidr, "own");
    return true;
  }

  /** All blocks there are, as of this search. */
  async #existing(): Promise<readonly AllocationBlock[]> {
    this.#blocks ??= (await this.#work.blocks.list()).map(block => block.value);
    return this.#blocks;
  }

  async #borrow(existing: readonly AllocationBlock[]): Promise<void> {
    for (const block of this.#others(existing)) {
      if (this.missing === 0) return;
      const now = freeCooled(block, this.#around.config.ipCooldownSeconds, this.#work.retry.clock.now());
      if (countFree(now, this.#reserved(block.cidr)) > 0) await this.#take(block.cidr, "any");
    }
  }

  async #take(cidr: Cidr, whose: "own" | "any"): Promise<void> {
    const taken = await take(this.#work, cidr, {
      count: this.missing,
      from: whose === "own" ? this.#host.owner : undefined,
      owner: this.#host.owner,
      attribute: this.#request.attribute,
      reserved: this.#reserved(cidr),
      cooldownSeconds: this.#around.config.ipCooldownSeconds,
    });
    this.#assigned.push(...taken);
  }

  /** Blocks with at least one address to give that nobody has claimed, from this host's start. */
  *#neverClaimed(existing: readonly Cidr[]): Generator<Cidr> {
    const taken = new Set(existing);
    const { reservations } = this.#around;
    for (const pool of this.#pools) {
      for (const cidr of blocksFrom(pool, this.#request.node, reservations)) {
        if (taken.has(cidr)) continue;
        if (countFree(newBlock(cidr, null, 0), this.#reserved(cidr)) > 0) yield cidr;
      }
    }
  }

  /** Other owners' blocks, pool by pool, in the order this host tries them. */
  #others(existing: readonly AllocationBlock[]): AllocationBlock[] {
    return this.#pools.flatMap(pool =>
      existing
        .filter(block => block.affinity !== this.#host.owner && poolOf([pool], block.cidr))
        .map(block => ({ block, distance: distanceFromStart(pool, this.#request.node, block.cidr) }))
        .sort((a, b) => (a.distance < b.distance ? -1 : 1))
        .map(({ block }) => block),
    );
  }

  #inPools(blocks: Iterable<Cidr>): Cidr[] {
    return [...blocks].filter(cidr => poolOf(this.#pools, cidr));
  }

  #reserved(cidr: Cidr): (ordinal: number) => boolean {
    return reservedIn(cidr, this.#around.reservations);
  }

  #atLimit(): boolean {
    const limits = [this.#request.maxBlocks ?? 0, this.#around.config.maxBlocksPerHost].filter(n => n > 0);
    const limit = limits.length > 0 ? Math.min(...limits) : DEFAULT_MAX_BLOCKS;
    const owned = [...this.#host.owned].filter(cidr => cidrVersion(cidr) === this.#request.version).length;
    if (owned < limit) return false;
    const message = `${this.#host.owner} owns ${owned} blocks and may own ${limit}`;
    this.#messages.push(message);
    this.#shortfall = new IpamError(
      IpamErrorCode.BlockLimit,
      `cannot claim another IPv${this.#request.version} block: ${message}`,
      { owner: this.#host.owner, limit, owned },
    );
    return true;
  }

  #exhausted(): IpamError {
    const { version } = this.#request;
    const pools = this.#pools.map(pool => pool.name);
    return new IpamError(
      IpamErrorCode.Exhausted,
      `no free IPv${version} address in ${pools.join(", ")} for ${this.#host.owner}`,
      { version, pools, owner: this.#host.owner, strictAffinity: this.#around.config.strictAffinity },
    );
  }
}

/** What is remembered may be too old to know the pool: the fresh look decides. */
function ignoreNoPool(error: unknown): void {
  if (!(error instanceof IpamError && error.code === IpamErrorCode.NoPool)) throw error;
}
