/** All pages of a range as one. */

import type { Revision } from "../../../datastore/datastore.ts";
import type { KeyValue, KeyValueStore, PathRange } from "../../../datastore/key-value-store.ts";

export async function wholeRange(
  store: KeyValueStore,
  range: PathRange,
): Promise<{ items: KeyValue[]; revision: Revision }> {
  const items: KeyValue[] = [];
  let revision: Revision | undefined;
  for await (const page of store.pages(range)) {
    items.push(...page.items);
    if (revision !== undefined && page.revision !== revision) throw new Error("pages of two revisions");
    revision = page.revision;
  }
  return { items, revision: revision as Revision };
}
