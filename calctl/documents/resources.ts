/** Files to valid resources, each with the place it was written at. */

import { type Path, type Resource, validateResource } from "../../crd-schemas/index.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import type { Located } from "../../input/parse.ts";
import type { Place, Problem } from "../../input/problem.ts";
import { selectorProblem } from "../../policy/selector/index.ts";
import type { Context } from "../context.ts";
import type { FileOptions, NamespaceOptions } from "../options.ts";
import { collect } from "./collect.ts";
import { fieldLocator, frameOf } from "./frame.ts";

export type UserResource = Extract<Resource, { kind: ResourceKind }>;

export interface LoadedResource {
  readonly resource: UserResource;
  /** Where a field of it was written. */
  readonly locate: (path: Path) => Place;
}

/** @throws InvalidDocuments, CommandError */
export function loadResources(
  context: Context,
  options: FileOptions & NamespaceOptions,
): Promise<LoadedResource[]> {
  return collect(context, options, document => resourceOf(document, options.namespace ?? "default"));
}

function resourceOf(document: Located, namespace: string): LoadedResource | Problem[] {
  const frame = frameOf(document, namespace);
  if (Array.isArray(frame)) return frame;
  const locate = fieldLocator(document);
  const { resource, problems } = validateResource(frame, { parseSelector: selectorProblem });
  if (problems) return problems.map(problem => ({ ...problem, place: locate(problem.path) }));
  return { resource: resource as UserResource, locate };
}
