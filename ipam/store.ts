/**
 * The IPAM records in the datastore, typed. What makes this more than casting: a compare-and-swap that lost is a
 * value here (undefined or false), because in every protocol above it is an expected turn, not a failure; only
 * what nobody can plan for (no connection, no room, an unreadable record) is thrown.
 */

import type { Datastore, Entry, Revision } from "../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { type Key, key } from "../datastore/key.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { nextVersion } from "./block.ts";
import {
  type Affinity,
  type AllocationBlock,
  affinityToJson,
  type BlockAffinity,
  blockToJson,
  configToJson,
  handleToJson,
  type IpamConfig,
  type IpamHandle,
  parseAffinity,
  parseBlock,
  parseConfig,
  parseHandle,
} from "./records.ts";

export interface Stored<T> {
  readonly value: T;
  readonly revision: Revision;
}

export interface StoredAffinity extends Stored<BlockAffinity> {
  readonly owner: Affinity;
  readonly cidr: Cidr;
}

export interface StoredHandle extends Stored<IpamHandle> {
  readonly id: string;
}

export class IpamStore {
  readonly datastore: Datastore;

  constructor(datastore: Datastore) {
    this.datastore = datastore;
  }

  async block(cidr: Cidr): Promise<Stored<AllocationBlock> | undefined> {
    return stored(await this.#get(blockKey(cidr)), parseBlock);
  }

  /** All blocks, in no useful order. */
  async blocks(): Promise<Stored<AllocationBlock>[]> {
    const { entries } = await this.datastore.list({ kind: "IPAMBlock" });
    return entries.flatMap(entry => stored(entry, parseBlock) ?? []);
  }

  /** Undefined: there is one. */
  async createBlock(block: AllocationBlock): Promise<Stored<AllocationBlock> | undefined> {
    const entry = await unlessLost(this.datastore.create(blockKey(block.cidr), blockToJson(block)));
    return entry && { value: block, revision: entry.revision };
  }

  /** Writes the next version of `block` over `revision`. Undefined: somebody else was faster. */
  async updateBlock(
    block: AllocationBlock,
    revision: Revision,
  ): Promise<Stored<AllocationBlock> | undefined> {
    const next = nextVersion(block);
    const entry = await unlessLost(this.datastore.update(blockKey(block.cidr), blockToJson(next), revision));
    return entry && { value: next, revision: entry.revision };
  }

  async deleteBlock(cidr: Cidr, revision: Revision): Promise<boolean> {
    return (await unlessLost(this.datastore.delete(blockKey(cidr), revision))) !== undefined;
  }

  async affinity(owner: Affinity, cidr: Cidr): Promise<StoredAffinity | undefined> {
    const found = stored(await this.#get(affinityKey(owner, cidr)), parseAffinity);
    return found && { owner, cidr, ...found };
  }

  /** Those of one owner, or all. */
  async affinities(owner?: Affinity): Promise<StoredAffinity[]> {
    const query = owner === undefined ? {} : { namespace: owner };
    const { entries } = await this.datastore.list({ kind: "BlockAffinity", ...query });
    return entries.flatMap(entry => {
      const found = stored(entry, parseAffinity);
      const cidr = parseCidr(entry.key.name);
      return found && cidr ? { owner: entry.key.namespace as Affinity, cidr, ...found } : [];
    });
  }

  async createAffinity(
    owner: Affinity,
    cidr: Cidr,
    value: BlockAffinity,
  ): Promise<StoredAffinity | undefined> {
    const entry = await unlessLost(this.datastore.create(affinityKey(owner, cidr), affinityToJson(value)));
    return entry && { owner, cidr, value, revision: entry.revision };
  }

  async updateAffinity(
    current: StoredAffinity,
    state: BlockAffinity["state"],
  ): Promise<StoredAffinity | undefined> {
    const { owner, cidr } = current;
    const value = { ...current.value, state };
    const entry = await unlessLost(
      this.datastore.update(affinityKey(owner, cidr), affinityToJson(value), current.revision),
    );
    return entry && { owner, cidr, value, revision: entry.revision };
  }

  async deleteAffinity({ owner, cidr, revision }: StoredAffinity): Promise<boolean> {
    return (await unlessLost(this.datastore.delete(affinityKey(owner, cidr), revision))) !== undefined;
  }

  async handle(id: string): Promise<StoredHandle | undefined> {
    const found = stored(await this.#get(key("IPAMHandle", id)), parseHandle);
    return found && { id, ...found };
  }

  async handles(): Promise<StoredHandle[]> {
    const { entries } = await this.datastore.list({ kind: "IPAMHandle" });
    return entries.flatMap(entry => {
      const found = stored(entry, parseHandle);
      return found ? { id: entry.key.name, ...found } : [];
    });
  }

  async createHandle(id: string, value: IpamHandle): Promise<StoredHandle | undefined> {
    const entry = await unlessLost(this.datastore.create(key("IPAMHandle", id), handleToJson(value)));
    return entry && { id, value, revision: entry.revision };
  }

  async updateHandle({ id, revision }: StoredHandle, value: IpamHandle): Promise<StoredHandle | undefined> {
    const entry = await unlessLost(
      this.datastore.update(key("IPAMHandle", id), handleToJson(value), revision),
    );
    return entry && { id, value, revision: entry.revision };
  }

  async deleteHandle({ id, revision }: StoredHandle): Promise<boolean> {
    return (await unlessLost(this.datastore.delete(key("IPAMHandle", id), revision))) !== undefined;
  }

  async config(): Promise<Stored<IpamConfig> | undefined> {
    return stored(await this.#get(CONFIG_KEY), parseConfig);
  }

  /** False: somebody else was faster. */
  async writeConfig(config: IpamConfig, revision: Revision | undefined): Promise<boolean> {
    const write =
      revision === undefined
        ? this.datastore.create(CONFIG_KEY, configToJson(config))
        : this.datastore.update(CONFIG_KEY, configToJson(config), revision);
    return (await unlessLost(write)) !== undefined;
  }

  async #get(k: Key): Promise<Entry | undefined> {
    try {
      return await this.datastore.get(k);
    } catch (error) {
      if (isDatastoreError(error, DatastoreErrorCode.NotFound)) return undefined;
      throw error;
    }
  }
}

const CONFIG_KEY = key("IPAMConfig", "default");

function blockKey(cidr: Cidr): Key<"IPAMBlock"> {
  return key("IPAMBlock", cidr);
}

function affinityKey(owner: Affinity, cidr: Cidr): Key<"BlockAffinity"> {
  return key("BlockAffinity", cidr, owner);
}

function stored<T>(
  entry: Entry | undefined,
  parse: (value: Record<string, unknown>) => T | undefined,
): Stored<T> | undefined {
  const value = entry && parse(entry.value);
  return value === undefined ? undefined : { value, revision: entry!.revision };
}

/** The entry written or deleted; undefined where the key was not as expected. */
async function unlessLost(write: Promise<Entry>): Promise<Entry | undefined> {
  try {
    return await write;
  } catch (error) {
    if (
      isDatastoreError(error, DatastoreErrorCode.Conflict) ||
      isDatastoreError(error, DatastoreErrorCode.AlreadyExists) ||
      isDatastoreError(error, DatastoreErrorCode.NotFound)
    ) {
      return undefined;
    }
    throw error;
  }
}
