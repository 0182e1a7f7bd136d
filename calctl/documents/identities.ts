/** Which resources files name: all that get and delete read of them, so that an outdated spec is no obstacle. */

import type { Path } from "../../crd-schemas/index.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import type { Located } from "../../input/parse.ts";
import type { Place, Problem } from "../../input/problem.ts";
import type { Context } from "../context.ts";
import { isNamespaced } from "../kinds.ts";
import type { FileOptions, NamespaceOptions } from "../options.ts";
import { collect } from "./collect.ts";
import { frameOf } from "./frame.ts";

export interface Identity {
  readonly kind: ResourceKind;
  readonly name: string;
  /** Set exactly for kinds that have namespaces. */
  readonly namespace?: string;
  /** The version the file speaks of, if it says one. */
  readonly resourceVersion?: string;
  readonly locate: (path: Path) => Place;
}

/** @throws InvalidDocuments, CommandError */
export function loadIdentities(
  context: Context,
  options: FileOptions & NamespaceOptions,
): Promise<Identity[]> {
  return collect(context, options, document => identityOf(document, options.namespace ?? "default"));
}

function identityOf(document: Located, defaultNamespace: string): Identity | Problem[] {
  const frame = frameOf(document, defaultNamespace);
  if (Array.isArray(frame)) return frame;
  const { name, namespace, resourceVersion } = (frame.metadata ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || name === "") {
    const path = ["metadata", "name"];
    return [{ place: document.locate(path), path, message: "name is missing", expected: "a value" }];
  }
  return {
    kind: frame.kind,
    name,
    locate: document.locate,
    ...(isNamespaced(frame.kind) ? { namespace: String(namespace) } : {}),
    ...(typeof resourceVersion === "string" && resourceVersion !== "" ? { resourceVersion } : {}),
  };
}
