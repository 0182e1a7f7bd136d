/**
 * The allocator: who gets which address, agreed among all hosts by compare-and-swap on the datastore alone.
 *
 * - An address has one owner, because it is a slot of one block, and a block is written only over the revision
 *   that was read.
 * - Every operation is a sequence of single-key writes and may die between any two: what it leaves is completed
 *   or undone by whoever comes next, and errs towards an address or a count too many held, never one given twice.
 * - Operations of one host run one after the other here; hosts, and processes, race freely.
 *
 * The protocols: `affinity.ts` (whose block), `take.ts` (assign), `release.ts`, `handles.ts` (what is whose).
 */

import { type Clock, systemClock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { type Cidr, contains, ordinalOf } from "../net/cidr.ts";
import type { Ip, IpVersion } from "../net/ip.ts";
import { claim, releaseAffinity } from "./affinity.ts";
import { autoAssign } from "./auto-assign.ts";
import type { ReleaseRequest } from "./block.ts";
import { addressesOf, assignIp as assignIpIn, attributeAt, freeCooled, isCooling } from "./block.ts";
import { Blocks } from "./blocks.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";
import { HostBlocks } from "./host-blocks.ts";
import { type AllowedUse, blockOf, type LabelSet, poolOf } from "./pools.ts";
import {
  type Affinity,
  type AllocationAttribute,
  DEFAULT_CONFIG,
  hostAffinity,
  type IpamConfig,
  nodeOf,
} from "./records.ts";
import {
  blockHolding,
  type ReleaseSummary,
  releaseFromBlock,
  releaseHandle,
  repairHandle,
} from "./release.ts";
import { LOST, untilWon } from "./retry.ts";
import { IpamStore } from "./store.ts";
import { SurroundingsCache } from "./surroundings.ts";
import { type Assigned, assigned, writeAssignment } from "./take.ts";
import type { Workspace } from "./workspace.ts";

export interface AllocatorOptions {
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly logger?: Logger;
}

/** Who the address is for. */
export interface Owner {
  /** The host it will be used on. For use LoadBalancer only recorded: such blocks belong to no host. */
  readonly node: string;
  readonly use: AllowedUse;
  /** What to release it by later. */
  readonly handle?: string | undefined;
  /** Recorded with the address; `node` and `timestamp` are added. */
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

export interface AutoAssignRequest extends Owner {
  readonly num4?: number;
  readonly num6?: number;
  /** Names or CIDRs: use these pools, whatever their selectors and assignment mode say. */
  readonly pools4?: readonly string[] | undefined;
  readonly pools6?: readonly string[] | undefined;
  /** What namespaceSelectors of pools see. */
  readonly namespaceLabels?: LabelSet | undefined;
  /** Blocks of a family this host may own, where stricter than the configuration. */
  readonly maxBlocks?: number | undefined;
}

export interface AutoAssignResult {
  readonly ipv4: Assigned[];
  readonly ipv6: Assigned[];
  /** What an operator may want to know although it worked. */
  readonly messages: string[];
}

export interface Assignment {
  readonly ip: Ip;
  readonly block: Cidr;
  readonly affinity: Affinity | null;
  readonly handle: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  readonly sequenceNumber: bigint;
}

export class IpAllocator {
  readonly #work: Workspace;
  readonly #hosts = new Map<Affinity, HostBlocks>();
  readonly #queues = new Map<Affinity, Promise<unknown>>();

  constructor(datastore: Datastore, options: AllocatorOptions = {}) {
    const { clock = systemClock, random = Math.random, logger } = options;
    const store = new IpamStore(datastore);
    this.#work = {
      store,
      blocks: new Blocks(store),
      surroundings: new SurroundingsCache(store, clock),
      retry: { clock, random },
      logger,
    };
  }

  /**
   * All addresses asked for, or an error and none of them.
   * @throws IpamError NO_POOL, EXHAUSTED, BLOCK_LIMIT, TOO_MANY_CONFLICTS; DatastoreError: then some may be
   * assigned, and releasing the handle frees them
   */
  async autoAssign(request: AutoAssignRequest): Promise<AutoAssignResult> {
    const owner = ownerOf(request);
    return this.#inTurn(owner, async () => {
      const ipv4 = await this.#assignFamily(owner, request, 4, []);
      const ipv6 = await this.#assignFamily(owner, request, 6, ipv4.assigned);
      return {
        ipv4: ipv4.assigned,
        ipv6: ipv6.assigned,
        messages: [...ipv4.messages, ...ipv6.messages],
      };
    });
  }

  /**
   * This address, reserved or not. Claims its block where nobody has.
   * @throws IpamError NOT_IN_POOL, ALREADY_ASSIGNED, STRICT_AFFINITY, TOO_MANY_CONFLICTS
   */
  async assignIp(request: Owner & { readonly ip: Ip }): Promise<Assigned> {
    const { ip, use } = request;
    const owner = ownerOf(request);
    const { store, blocks, surroundings, retry } = this.#work;
    return this.#inTurn(owner, async () => {
      const { pools, config } = await surroundings.read();
      const pool = poolOf(
        pools.filter(each => each.enabled && each.allowedUses.includes(use)),
        ip,
      );
      if (!pool) {
        throw new IpamError(IpamErrorCode.NotInPool, `${ip} is in no enabled pool of use ${use}`, {
          ip,
          use,
        });
      }
      const cidr = blockOf(pool, ip);
      const attribute = this.#attributeFor(request);
      return untilWon(`assign ${ip}`, retry, async () => {
        const seen = (await blocks.read(cidr)) ?? (await claim(store, retry, owner, cidr));
        if (!seen) return LOST;
        const { affinity } = seen.value;
        if (config.strictAffinity && affinity !== null && affinity !== owner) {
          throw new IpamError(
            IpamErrorCode.StrictAffinity,
            `${ip} is in block ${cidr} of ${affinity}, and affinity is strict`,
            { ip, block: cidr, affinity },
          );
        }
        const current = freeCooled(seen.value, config.ipCooldownSeconds, retry.clock.now());
        const block = assignIpIn(current, ip, attribute);
        if (!(await writeAssignment(this.#work, block, seen, attribute, 1))) return LOST;
        return assigned(ip, current, owner);
      });
    });
  }

  /**
   * Releases addresses; those that are free already are reported. A request that does not match (handle,
   * sequence number) refuses all of its block; the other blocks' are released, then the error is thrown.
   * @throws IpamError BAD_HANDLE, BAD_SEQUENCE_NUMBER, TOO_MANY_CONFLICTS
   */
  async release(requests: readonly ReleaseRequest[]): Promise<ReleaseSummary> {
    const released: Ip[] = [];
    const notAssigned: Ip[] = [];
    const byBlock = new Map<Cidr, ReleaseRequest[]>();
    for (const request of requests) {
      const cidr = await blockHolding(this.#work, request.ip);
      if (cidr === undefined) notAssigned.push(request.ip);
      else byBlock.set(cidr, [...(byBlock.get(cidr) ?? []), request]);
    }
    let refusal: unknown;
    for (const [cidr, ofBlock] of byBlock) {
      try {
        const summary = await this.#inTurnOf(cidr, () => releaseFromBlock(this.#work, cidr, ofBlock));
        released.push(...summary.released);
        notAssigned.push(...summary.notAssigned);
      } catch (error) {
        refusal ??= error;
      }
    }
    await this.#repairHandlesOf(requests, notAssigned);
    if (refusal !== undefined) throw refusal;
    return { released, notAssigned };
  }

  /** Releases all addresses of a handle and the handle; gives the addresses. Nothing to release is no error. */
  async releaseByHandle(handle: string): Promise<Ip[]> {
    return releaseHandle(this.#work, handle, (cidr, operation) => this.#inTurnOf(cidr, operation));
  }

  async ipsByHandle(handle: string): Promise<Ip[]> {
    const stored = await this.#work.store.handle(handle);
    const ips: Ip[] = [];
    for (const cidr of Object.keys(stored?.value.block ?? {}) as Cidr[]) {
      const block = await this.#work.blocks.read(cidr);
      if (block) ips.push(...addressesOf(block.value, handle));
    }
    return ips;
  }

  /** @throws IpamError NOT_ASSIGNED */
  async attributesOf(ip: Ip): Promise<Assignment> {
    const cidr = await blockHolding(this.#work, ip);
    const block = cidr && (await this.#work.blocks.read(cidr))?.value;
    const ordinal = block ? ordinalOf(block.cidr, ip) : -1;
    const attribute = block && attributeAt(block, ordinal);
    if (!attribute || isCooling(attribute)) {
      throw new IpamError(IpamErrorCode.NotAssigned, `${ip} is not assigned`, { ip });
    }
    return {
      ip,
      block: block.cidr,
      affinity: block.affinity,
      handle: attribute.handle_id ?? undefined,
      attributes: attribute.secondary ?? {},
      sequenceNumber: block.sequenceNumberForAllocation.get(ordinal) ?? 0n,
    };
  }

  /** Sets the counts of a handle right; `blocks` are more blocks that hold addresses of it. */
  async repairHandle(handle: string, blocks: readonly Cidr[] = []): Promise<void> {
    await repairHandle(this.#work, handle, blocks);
  }

  /** Gives up a host's block. @throws IpamError BLOCK_NOT_EMPTY if asked to look, BAD_SEQUENCE_NUMBER */
  async releaseBlock(
    owner: Affinity,
    cidr: Cidr,
    options: { readonly onlyIfEmpty?: boolean; readonly sequenceNumber?: bigint } = {},
  ): Promise<void> {
    const { config } = await this.#work.surroundings.rememberedOrRead();
    await this.#inTurn(owner, async () => {
      this.#work.blocks.forget(cidr);
      await releaseAffinity(this.#work.store, this.#work.retry, owner, cidr, {
        ...options,
        cooldownSeconds: config.ipCooldownSeconds,
      });
      this.#hosts.delete(owner);
    });
  }

  /** Gives up all blocks of a host; addresses in use stay assigned. */
  async releaseHostAffinities(node: string, options: { readonly onlyIfEmpty?: boolean } = {}): Promise<void> {
    const owner = hostAffinity(node);
    for (const { cidr } of await this.#work.store.affinities(owner)) {
      await this.releaseBlock(owner, cidr, options);
    }
  }

  /** Gives up all blocks inside `cidr`, whoever owns them: before its pool is deleted. */
  async releasePoolAffinities(cidr: Cidr): Promise<void> {
    for (const affinity of await this.#work.store.affinities()) {
      if (contains(cidr, affinity.cidr)) await this.releaseBlock(affinity.owner, affinity.cidr);
    }
  }

  /** Forgets a host that is gone. Its workloads' addresses are released by their handles, not here. */
  async removeHost(node: string): Promise<void> {
    await this.releaseHostAffinities(node);
  }

  async config(): Promise<IpamConfig> {
    return (await this.#work.store.config())?.value ?? DEFAULT_CONFIG;
  }

  /** @throws IpamError INVALID_CONFIG */
  async setConfig(change: Partial<Omit<IpamConfig, "extra">>): Promise<IpamConfig> {
    return untilWon("IPAM configuration", this.#work.retry, async () => {
      const current = await this.#work.store.config();
      const config = { ...(current?.value ?? DEFAULT_CONFIG), ...change };
      refuseInvalid(config);
      const written = await this.#work.store.writeConfig(config, current?.revision);
      this.#work.surroundings.forget();
      return written ? config : LOST;
    });
  }

  async #assignFamily(
    owner: Affinity,
    request: AutoAssignRequest,
    version: IpVersion,
    taken: readonly Assigned[],
  ): Promise<{ assigned: Assigned[]; messages: string[] }> {
    const count = (version === 4 ? request.num4 : request.num6) ?? 0;
    if (count === 0) return { assigned: [], messages: [] };
    try {
      const result = await autoAssign(this.#work, this.#host(owner), {
        version,
        count,
        node: nodeOf(owner) ?? owner,
        use: request.use,
        attribute: this.#attributeFor(request),
        pools: version === 4 ? request.pools4 : request.pools6,
        namespaceLabels: request.namespaceLabels ?? {},
        maxBlocks: request.maxBlocks,
      });
      if (!result.shortfall) return result;
      await this.#takeBack(result.assigned);
      throw result.shortfall;
    } catch (error) {
      await this.#takeBack(taken);
      throw error;
    }
  }

  /** An assignment that failed as a whole keeps nothing. Already in the host's turn. */
  async #takeBack(assignments: readonly Assigned[]): Promise<void> {
    for (const { ip, block, sequenceNumber } of assignments) {
      await releaseFromBlock(this.#work, block, [{ ip, sequenceNumber }]);
    }
  }

  /** A release that was cut short between block and handle leaves a count: it ends here when repeated. */
  async #repairHandlesOf(requests: readonly ReleaseRequest[], notAssigned: readonly Ip[]): Promise<void> {
    const free = new Set(notAssigned);
    const handles = new Set(requests.filter(({ ip }) => free.has(ip)).map(({ handle }) => handle));
    for (const handle of handles) if (handle !== undefined) await this.repairHandle(handle);
  }

  #attributeFor({ node, handle, attributes }: Owner): AllocationAttribute {
    const timestamp = new Date(this.#work.retry.clock.now()).toISOString();
    return {
      ...(handle === undefined ? {} : { handle_id: handle }),
      secondary: { timestamp, ...attributes, node },
    };
  }

  #host(owner: Affinity): HostBlocks {
    let host = this.#hosts.get(owner);
    if (!host) {
      host = new HostBlocks(owner);
      this.#hosts.set(owner, host);
    }
    return host;
  }

  async #inTurnOf<T>(cidr: Cidr, operation: () => Promise<T>): Promise<T> {
    const owner = this.#work.blocks.remembered(cidr)?.value.affinity;
    return owner ? this.#inTurn(owner, operation) : operation();
  }

  #inTurn<T>(owner: Affinity, operation: () => Promise<T>): Promise<T> {
    const previous = this.#queues.get(owner) ?? Promise.resolve();
    const result = previous.then(operation, operation);
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#queues.set(owner, settled);
    settled.then(() => {
      if (this.#queues.get(owner) === settled) this.#queues.delete(owner);
    });
    return result;
  }
}

/** Load balancer addresses belong to no host. */
function ownerOf({ node, use }: Owner): Affinity {
  return use === "LoadBalancer" ? "virtual:load-balancer" : hostAffinity(node);
}

function refuseInvalid(config: IpamConfig): void {
  const refuse = (message: string) => {
    throw new IpamError(IpamErrorCode.InvalidConfig, message, { config });
  };
  const { strictAffinity, autoAllocateBlocks, maxBlocksPerHost, ipCooldownSeconds } = config;
  if (!strictAffinity && !autoAllocateBlocks) {
    refuse("strictAffinity and autoAllocateBlocks cannot both be off: nobody could assign anything");
  }
  if (!Number.isInteger(maxBlocksPerHost) || maxBlocksPerHost < 0) {
    refuse("maxBlocksPerHost must be a whole number, 0 or more");
  }
  if (maxBlocksPerHost > 0 && !strictAffinity) {
    refuse("maxBlocksPerHost needs strictAffinity: a host at its limit would borrow instead");
  }
  if (!Number.isInteger(ipCooldownSeconds) || ipCooldownSeconds < 0 || ipCooldownSeconds > 1200) {
    refuse("ipCooldownSeconds must be a whole number from 0 to 1200");
  }
}
