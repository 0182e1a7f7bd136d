/**
 * What is written into a lab's datastore for a while: a set of resources that is replaced by another, step by step, and
 * taken away at the end. Only differences are written, so a step is what a user's change would be.
 */

import { isDeepStrictEqual } from "node:util";
import type { Draft } from "../datastore/client.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import type { ResourceKind } from "../datastore/key.ts";
import { Writer } from "./in-force.ts";
import type { Lab } from "./lab.ts";

type AnyDraft = Draft<ResourceKind>;

/** What others refer to comes first, and goes last. */
const ORDER: readonly ResourceKind[] = ["FelixConfiguration", "Tier", "Profile"];

export class Stage {
  readonly #writer: Writer;
  #there = new Map<string, AnyDraft>();
  /** What was there before under the same names, and is put back. */
  readonly #former = new Map<string, AnyDraft>();
  /** Belong to workloads, which take them along when they go. */
  readonly #endpoints = new Map<string, AnyDraft>();

  private constructor(writer: Writer) {
    this.#writer = writer;
  }

  static async open(lab: Lab): Promise<Stage> {
    return new Stage(await Writer.open(lab));
  }

  /**
   * From now on exactly these, and workloads' endpoints as given; resolves when all hosts follow.
   * @throws ValidationError, DatastoreError; LabError TIMED_OUT
   */
  async set(
    resources: readonly AnyDraft[],
    endpoints: readonly Draft<"WorkloadEndpoint">[] = [],
  ): Promise<void> {
    const wanted = new Map(resources.toSorted(byOrder).map(draft => [nameOf(draft), draft]));
    for (const draft of wanted.values()) {
      await this.#keepFormer(draft);
      await this.#put(this.#there, draft);
    }
    for (const draft of endpoints) await this.#put(this.#endpoints, draft);
    for (const [name, draft] of [...this.#there].reverse()) if (!wanted.has(name)) await this.#delete(draft);
    this.#there = wanted;
    await this.#writer.inForce();
  }

  /** Everything it wrote goes, but for endpoints. */
  async clear(): Promise<void> {
    await this.set([]);
  }

  close(): void {
    this.#writer.close();
  }

  async #put(there: Map<string, AnyDraft>, draft: AnyDraft): Promise<void> {
    const name = nameOf(draft);
    if (isDeepStrictEqual(there.get(name), draft)) return;
    await this.#writer.put(draft);
    there.set(name, draft);
  }

  async #keepFormer(draft: AnyDraft): Promise<void> {
    const name = nameOf(draft);
    if (this.#there.has(name) || this.#former.has(name)) return;
    const former = await this.#writer.read(draft.kind, draft.metadata.name, draft.metadata.namespace);
    if (former) this.#former.set(name, former);
  }

  async #delete(draft: AnyDraft): Promise<void> {
    const { kind, metadata } = draft;
    const former = this.#former.get(nameOf(draft));
    if (former) {
      await this.#writer.put(former);
      this.#former.delete(nameOf(draft));
      return;
    }
    try {
      await this.#writer.delete(kind, metadata.name, metadata.namespace);
    } catch (error) {
      if (!isDatastoreError(error, "NOT_FOUND")) throw error;
    }
  }
}

function nameOf({ kind, metadata }: AnyDraft): string {
  return `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
}

function byOrder(a: AnyDraft, b: AnyDraft): number {
  const rank = ({ kind }: AnyDraft) => ORDER.indexOf(kind) + 1 || ORDER.length + 1;
  return rank(a) - rank(b);
}
