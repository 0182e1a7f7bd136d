/** Read, change, write: again when someone else wrote in between, as what the user asked for still holds. */

import { pathText, type Resource, validateResource } from "../crd-schemas/index.ts";
import { isDatastoreError } from "../datastore/errors.ts";
import type { ResourceKind } from "../datastore/key.ts";
import { selectorProblem } from "../policy/selector/index.ts";
import type { Connection } from "./connection.ts";
import type { UserResource } from "./documents/resources.ts";
import { CommandError } from "./errors.ts";
import { isNamespaced } from "./kinds.ts";

const ATTEMPTS = 10;

export interface EditTarget {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** @throws CommandError INVALID_INPUT where the result is not valid, DatastoreError */
export async function editResource(
  { client }: Connection,
  { kind, name, namespace = "default" }: EditTarget,
  change: (resource: UserResource) => unknown,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const current = (await client.get(
      kind,
      name,
      isNamespaced(kind) ? namespace : undefined,
    )) as UserResource;
    const changed = checked(current, change(structuredClone(current)));
    try {
      await client.update(changed);
      return;
    } catch (error) {
      if (attempt === ATTEMPTS || !isDatastoreError(error, "CONFLICT")) throw error;
    }
  }
}

/** The changed resource, if it is still valid, still the same one, and as new as what was read. */
function checked(current: UserResource, changed: unknown): UserResource {
  const problems = problemsOf(changed);
  // What was stored already (a newer Calico's field) is not the change's fault.
  const before = new Set(problems.length > 0 ? problemsOf(current) : []);
  const own = problems.filter(problem => !before.has(problem));
  if (own.length > 0)
    throw new CommandError("INVALID_INPUT", `the result is not a valid ${current.kind}: ${own.join("; ")}`);
  const resource = changed as UserResource;
  for (const [what, was, is] of identity(current, resource))
    if (was !== is)
      throw new CommandError(
        "INVALID_INPUT",
        `${what} cannot be changed from ${was ?? "none"} to ${is ?? "none"}`,
      );
  const { uid, creationTimestamp, resourceVersion } = current.metadata;
  return {
    ...resource,
    metadata: { ...resource.metadata, uid, creationTimestamp, resourceVersion },
  } as UserResource;
}

function problemsOf(resource: unknown): string[] {
  const { problems = [] } = validateResource(resource, { parseSelector: selectorProblem });
  return problems.map(({ path, message }) => `${pathText(path)}: ${message}`);
}

function identity(a: Resource, b: Resource): [string, string | undefined, string | undefined][] {
  return [
    ["kind", a.kind, b.kind],
    ["metadata.name", a.metadata.name, b.metadata.name],
    ["metadata.namespace", a.metadata.namespace, b.metadata.namespace],
  ];
}
