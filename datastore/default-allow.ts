/**
 * The profile `projectcalico-default-allow` exists in every cluster without being stored anywhere: get and list
 * always show it, watches never, and nothing can change it.
 */

import { API_VERSION, DEFAULT_ALLOW_PROFILE } from "../crd-schemas/kinds.ts";
import type { Entry, Revision } from "./datastore.ts";
import { type Key, type Query, queryMatches } from "./key.ts";

const KEY: Key<"Profile"> = { kind: "Profile", name: DEFAULT_ALLOW_PROFILE };
const REVISION = "1" as Revision;

export function isDefaultAllow(key: Key): boolean {
  return key.kind === KEY.kind && key.name === KEY.name;
}

export function queryHasDefaultAllow(query: Query): boolean {
  return queryMatches(query, KEY);
}

export function defaultAllowEntry(): Entry<"Profile"> {
  return {
    key: KEY,
    revision: REVISION,
    value: {
      apiVersion: API_VERSION,
      kind: "Profile",
      metadata: { name: KEY.name, resourceVersion: REVISION },
      spec: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
    },
  };
}
