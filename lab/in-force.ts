/**
 * When is a change in force? Whoever writes here knows: what was written comes back on a watch with the store's
 * revision, and each felix says up to which revision of each kind the kernel follows. No sleeping, no guessing.
 */

import { systemClock } from "../daemon/clock.ts";
import { fetchStatus } from "../daemon/status-server.ts";
import { CalicoClient, type Draft } from "../datastore/client.ts";
import type { Datastore, Revision } from "../datastore/datastore.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import { type Key, key, keyText, type ResourceKind } from "../datastore/key.ts";
import type { Lab } from "./lab.ts";
import { LabError, LabErrorCode } from "./state.ts";

const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 4;

export class Writer {
  readonly #lab: Lab;
  readonly #client: CalicoClient;
  readonly #stop = new AbortController();
  readonly #followed = new Map<ResourceKind, Followed>();
  /** The last write of each kind that is not yet known to be in force. */
  readonly #written = new Map<ResourceKind, Written>();

  private constructor(lab: Lab, datastore: Datastore) {
    this.#lab = lab;
    this.#client = new CalicoClient(datastore);
  }

  static async open(lab: Lab): Promise<Writer> {
    return new Writer(lab, await lab.datastore());
  }

  async put<K extends ResourceKind>(draft: Draft<K>): Promise<void> {
    await this.#follow(draft.kind);
    const { metadata } = await this.#client.apply(draft);
    const target = key(draft.kind, metadata.name, metadata.namespace);
    this.#written.set(draft.kind, { key: target, put: metadata.resourceVersion as Revision });
  }

  /** What is there, as it could be put; undefined where nothing is. */
  async read<K extends ResourceKind>(
    kind: K,
    name: string,
    namespace?: string,
  ): Promise<Draft<K> | undefined> {
    try {
      const { metadata, ...rest } = await this.#client.get(kind, name, namespace);
      const { resourceVersion: _, ...kept } = metadata;
      return { ...rest, metadata: kept } as unknown as Draft<K>;
    } catch (error) {
      if (isDatastoreError(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }

  async delete(kind: ResourceKind, name: string, namespace?: string): Promise<void> {
    const followed = await this.#follow(kind);
    const target = key(kind, name, namespace);
    followed.forgetDeletion(target);
    await this.#client.delete(kind, name, namespace);
    this.#written.set(kind, { key: target, put: undefined });
  }

  /** Resolves when all that was written is in force on every host. @throws LabError TIMED_OUT */
  async inForce(): Promise<void> {
    const wanted = new Map<ResourceKind, Revision>();
    for (const [kind, written] of this.#written)
      wanted.set(kind, await (this.#followed.get(kind) as Followed).until(written));
    this.#written.clear();
    await Promise.all(this.#lab.record.hosts.map(({ name }) => this.#untilApplied(name, wanted)));
  }

  close(): void {
    this.#stop.abort();
  }

  async #follow(kind: ResourceKind): Promise<Followed> {
    let followed = this.#followed.get(kind);
    if (!followed) {
      followed = new Followed();
      this.#followed.set(kind, followed);
      const { datastore } = this.#client;
      const { revision } = await datastore.list({ kind });
      void followed.run(datastore.watch({ kind }, { from: revision, signal: this.#stop.signal }));
    }
    return followed;
  }

  async #untilApplied(host: string, wanted: ReadonlyMap<ResourceKind, Revision>): Promise<void> {
    const socket = this.#lab.state.hostPath(host, "run", "felix.sock");
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const answer = await fetchStatus(socket);
      const { applied = {}, ready = "no answer" } = answer?.code === 200 ? JSON.parse(answer.body) : {};
      if (isReached(applied, wanted)) return;
      if (performance.now() > deadline)
        throw new LabError(LabErrorCode.TimedOut, `felix on ${host} does not follow: ${ready}`);
      await systemClock.sleep(LOOK_EVERY_MS);
    }
  }
}

interface Written {
  readonly key: Key;
  /** Undefined: it was deleted. */
  readonly put: Revision | undefined;
}

/** One kind, as the store tells of it. */
class Followed {
  readonly #puts = new Map<string, Revision>();
  readonly #deletions = new Map<string, Revision>();
  #failure: unknown;
  #news = Promise.withResolvers<void>();

  async run(watch: ReturnType<Datastore["watch"]>): Promise<void> {
    try {
      for await (const { events } of watch) {
        for (const event of events) {
          if (event.type === "put") this.#puts.set(keyText(event.entry.key), event.entry.revision);
          else if (event.type === "delete") this.#deletions.set(keyText(event.key), event.revision);
        }
        this.#news.resolve();
        this.#news = Promise.withResolvers();
      }
    } catch (error) {
      this.#failure = error;
      this.#news.resolve();
    }
  }

  forgetDeletion(target: Key): void {
    this.#deletions.delete(keyText(target));
  }

  /** The revision of the write, once it was told. */
  async until({ key: target, put }: Written): Promise<Revision> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const told = (put === undefined ? this.#deletions : this.#puts).get(keyText(target));
      if (told !== undefined && (put === undefined || told === put)) return told;
      await this.#news.promise;
    }
  }
}

/** A lab's stores count upwards. Kinds that felix does not follow have nothing to be reached; before its first pass it names none. */
function isReached(
  applied: Readonly<Record<string, string>>,
  wanted: ReadonlyMap<ResourceKind, Revision>,
): boolean {
  if (Object.keys(applied).length === 0) return false;
  return [...wanted].every(
    ([kind, revision]) => applied[kind] === undefined || BigInt(applied[kind]) >= BigInt(revision),
  );
}
