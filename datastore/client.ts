/**
 * Resources for programs and people: typed, validated, with defaults filled in. There is no API server behind
 * etcd and the embedded store, so what this client lets through is in force; nothing writes a resource past it.
 *
 * A resource carries its own revision (metadata.resourceVersion). `update` is compare-and-swap with it, `replace`
 * too if it is given, and `apply` creates or replaces.
 */

import {
  API_VERSION,
  type Resource,
  type ResourceOfKind,
  type ValidateOptions,
  validateResource,
} from "../crd-schemas/index.ts";
import { type Clock, systemClock } from "../daemon/clock.ts";
import { selectorProblem } from "../policy/selector/index.ts";
import type { Datastore, OperationOptions, Revision } from "./datastore.ts";
import { DatastoreError, DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { type Key, key, type ResourceKind } from "./key.ts";
import { type AddressRelease, emptyNode, emptyPool } from "./removal.ts";
import { changeProblems, creationProblems, refuseTierDeletion } from "./resource-checks.ts";
import { ValidationError } from "./validation-error.ts";

/** A resource to be written: apiVersion may be left out. */
export type Draft<K extends ResourceKind> = { readonly kind: K; readonly apiVersion?: string } & Omit<
  ResourceOfKind[K],
  "kind" | "apiVersion"
>;

export interface ResourceList<R> {
  readonly items: R[];
  readonly resourceVersion: string;
}

export type ResourceEvent<R> =
  | { readonly type: "added" | "modified"; readonly resource: R }
  | { readonly type: "deleted"; readonly name: string; readonly namespace: string | undefined }
  | {
      readonly type: "corrupt";
      readonly name: string;
      readonly namespace: string | undefined;
      readonly message: string;
    };

export interface ClientOptions {
  /** With it, deleting a pool or a node first gives back what hangs on it; without it, that is up to the caller. */
  readonly addresses?: AddressRelease | undefined;
  readonly clock?: Clock | undefined;
}

/** Between a get and the update that follows, others may write; after so many times something is wrong. */
const ATTEMPTS = 20;

export class CalicoClient {
  readonly datastore: Datastore;
  readonly #addresses: AddressRelease | undefined;
  readonly #clock: Clock;

  constructor(datastore: Datastore, options: ClientOptions = {}) {
    this.datastore = datastore;
    this.#addresses = options.addresses;
    this.#clock = options.clock ?? systemClock;
  }

  /** @throws DatastoreError NotFound */
  async get<K extends ResourceKind>(
    kind: K,
    name: string,
    namespace?: string,
    options?: OperationOptions,
  ): Promise<ResourceOfKind[K]> {
    return (await this.datastore.get(key(kind, name, namespace), options)).value;
  }

  async list<K extends ResourceKind>(
    kind: K,
    query: { readonly namespace?: string; readonly namePrefix?: string } = {},
    options?: OperationOptions,
  ): Promise<ResourceList<ResourceOfKind[K]>> {
    const { entries, revision } = await this.datastore.list({ ...query, kind }, options);
    return { items: entries.map(entry => entry.value), resourceVersion: revision };
  }

  /** @throws ValidationError; DatastoreError AlreadyExists */
  async create<K extends ResourceKind>(draft: Draft<K>): Promise<ResourceOfKind[K]> {
    return this.#create(draft.kind, this.#validated(draft, "error"));
  }

  /**
   * Writes what was read and changed. Unknown fields, which a newer Calico may have stored, are kept.
   * @throws ValidationError; DatastoreError NotFound, Conflict
   */
  async update<K extends ResourceKind>(draft: Draft<K>): Promise<ResourceOfKind[K]> {
    const resource = this.#validated(draft, "keep");
    const { resourceVersion } = resource.metadata;
    if (!resourceVersion) {
      throw new ValidationError(resource.kind, resource.metadata.name, [
        {
          path: ["metadata", "resourceVersion"],
          message: "an update needs the revision that was read",
          expected: "the resourceVersion of what was read",
        },
      ]);
    }
    return this.#replace(draft.kind, resource, resourceVersion as Revision);
  }

  /**
   * Puts the resource in place of the one that is there; of that, only identity and, where the new one has none,
   * labels and annotations are kept.
   * @throws ValidationError; DatastoreError NotFound, and Conflict if the draft names a resourceVersion
   */
  async replace<K extends ResourceKind>(draft: Draft<K>): Promise<ResourceOfKind[K]> {
    return this.#replaceAny(draft.kind, this.#validated(draft, "error"));
  }

  /** Creates or replaces. @throws ValidationError; DatastoreError Conflict as `replace` */
  async apply<K extends ResourceKind>(draft: Draft<K>): Promise<ResourceOfKind[K]> {
    const resource = this.#validated(draft, "error");
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#replaceAny(draft.kind, resource);
      } catch (error) {
        if (!isDatastoreError(error, DatastoreErrorCode.NotFound)) throw error;
      }
      try {
        return await this.#create(draft.kind, resource);
      } catch (error) {
        // Somebody was faster, or deletes and creates it all the time.
        if (!isDatastoreError(error, DatastoreErrorCode.AlreadyExists) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** @throws DatastoreError NotFound, Conflict (if a resourceVersion is given), NotSupported for what is protected */
  async delete<K extends ResourceKind>(
    kind: K,
    name: string,
    namespace?: string,
    resourceVersion?: string,
  ): Promise<ResourceOfKind[K]> {
    if (kind === "Tier") await refuseTierDeletion(this.datastore, name);
    let revision = resourceVersion as Revision | undefined;
    if (this.#addresses && kind === "Node") await emptyNode(this.datastore, name, this.#addresses);
    if (this.#addresses && kind === "IPPool") {
      if (revision !== undefined) await this.#demand(key(kind, name), revision);
      // Disabling it changes the revision.
      revision = undefined;
      await emptyPool(this.datastore, name, this.#addresses, this.#clock);
    }
    return (await this.datastore.delete(key(kind, name, namespace), revision)).value;
  }

  /** Changes after `from`, until the signal aborts. @throws DatastoreError as Datastore.watch */
  async *watch<K extends ResourceKind>(
    kind: K,
    query: { readonly namespace?: string; readonly namePrefix?: string },
    options: { readonly from: string; readonly signal?: AbortSignal },
  ): AsyncIterable<ResourceEvent<ResourceOfKind[K]>> {
    const { signal } = options;
    const from = options.from as Revision;
    for await (const { events } of this.datastore.watch(
      { ...query, kind },
      signal ? { from, signal } : { from },
    )) {
      for (const event of events) {
        if (event.type === "put") {
          yield { type: event.created ? "added" : "modified", resource: event.entry.value };
        } else {
          const { name, namespace } = event.key;
          if (event.type === "delete") yield { type: "deleted", name, namespace };
          else yield { type: "corrupt", name, namespace, message: event.message };
        }
      }
    }
  }

  #validated(
    draft: Draft<ResourceKind>,
    unknownFields: NonNullable<ValidateOptions["unknownFields"]>,
  ): Resource {
    const { resource, problems } = validateResource(
      { apiVersion: API_VERSION, ...draft },
      { unknownFields, parseSelector: selectorProblem },
    );
    if (problems) throw new ValidationError(draft.kind, String(draft.metadata?.name), problems);
    return resource;
  }

  async #create<K extends ResourceKind>(kind: K, resource: Resource): Promise<ResourceOfKind[K]> {
    const target = keyOf(kind, resource);
    const problems = await creationProblems(this.datastore, resource);
    if (problems.length > 0) {
      // That it exists already says more than what follows from it.
      if (await this.#exists(target)) {
        throw new DatastoreError(DatastoreErrorCode.AlreadyExists, { key: target });
      }
      throw new ValidationError(kind, target.name, problems);
    }
    return (await this.datastore.create(target, resource)).value;
  }

  async #replaceAny<K extends ResourceKind>(kind: K, resource: Resource): Promise<ResourceOfKind[K]> {
    const { resourceVersion } = resource.metadata;
    if (resourceVersion) return this.#replace(kind, resource, resourceVersion as Revision);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#replace(kind, resource, undefined);
      } catch (error) {
        if (!isDatastoreError(error, DatastoreErrorCode.Conflict) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** `revision` undefined: whatever is there. */
  async #replace<K extends ResourceKind>(
    kind: K,
    resource: Resource,
    revision: Revision | undefined,
  ): Promise<ResourceOfKind[K]> {
    const target = keyOf(kind, resource);
    const current = await this.datastore.get(target);
    const problems = await changeProblems(this.datastore, resource, current.value);
    if (problems.length > 0) throw new ValidationError(kind, target.name, problems);
    const merged = withMetadataOf(current.value, resource);
    return (await this.datastore.update(target, merged, revision ?? current.revision)).value;
  }

  async #demand(target: Key, revision: Revision): Promise<void> {
    if ((await this.datastore.get(target)).revision !== revision) {
      throw new DatastoreError(DatastoreErrorCode.Conflict, {
        key: target,
        message: "changed by someone else",
      });
    }
  }

  async #exists(target: Key): Promise<boolean> {
    try {
      await this.datastore.get(target);
      return true;
    } catch (error) {
      if (isDatastoreError(error, DatastoreErrorCode.NotFound)) return false;
      throw error;
    }
  }
}

function keyOf<K extends ResourceKind>(kind: K, { metadata }: Resource): Key<K> {
  return key(kind, metadata.name, metadata.namespace);
}

/** Who it is and since when is the store's to say; what the writer did not mention stays. */
function withMetadataOf(current: Resource, resource: Resource): Resource {
  const { uid, creationTimestamp, labels, annotations, finalizers, ownerReferences } = current.metadata;
  const kept = { labels, annotations, finalizers, ownerReferences, ...resource.metadata };
  return { ...resource, metadata: { ...kept, uid, creationTimestamp } } as Resource;
}
