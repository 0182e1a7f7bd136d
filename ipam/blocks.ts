/**
 * Blocks as last seen by this process. A block remembered is a guess that the next compare-and-swap confirms or
 * refutes, so it saves the read on the usual path and can never cause a double assignment. What a remembered
 * block seems to lack (a free address, an assignment) is looked up afresh before anyone is told.
 */

import type { Cidr } from "../net/cidr.ts";
import type { AllocationBlock } from "./records.ts";
import type { IpamStore, Stored } from "./store.ts";

export class Blocks {
  readonly #store: IpamStore;
  readonly #seen = new Map<Cidr, Stored<AllocationBlock>>();

  constructor(store: IpamStore) {
    this.#store = store;
  }

  remembered(cidr: Cidr): Stored<AllocationBlock> | undefined {
    return this.#seen.get(cidr);
  }

  async rememberedOrRead(cidr: Cidr): Promise<Stored<AllocationBlock> | undefined> {
    return this.#seen.get(cidr) ?? this.read(cidr);
  }

  async read(cidr: Cidr): Promise<Stored<AllocationBlock> | undefined> {
    const block = await this.#store.block(cidr);
    if (block) this.remember(block);
    else this.#seen.delete(cidr);
    return block;
  }

  async list(): Promise<Stored<AllocationBlock>[]> {
    const blocks = await this.#store.blocks();
    this.#seen.clear();
    for (const block of blocks) this.remember(block);
    return blocks;
  }

  remember(block: Stored<AllocationBlock>): void {
    this.#seen.set(block.value.cidr, block);
  }

  forget(cidr: Cidr): void {
    this.#seen.delete(cidr);
  }

  /** False where the block has changed since `seen`; then it is forgotten. */
  async write(block: AllocationBlock, seen: Stored<AllocationBlock>): Promise<boolean> {
    // Forgotten until the answer is there: after an error nobody knows what is stored.
    this.#seen.delete(block.cidr);
    const written = await this.#store.updateBlock(block, seen.revision);
    if (written) this.remember(written);
    return written !== undefined;
  }

  async delete(seen: Stored<AllocationBlock>): Promise<boolean> {
    this.#seen.delete(seen.value.cidr);
    return this.#store.deleteBlock(seen.value.cidr, seen.revision);
  }
}
