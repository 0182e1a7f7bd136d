/**
 * Whether a document is a resource, and what it is once the defaults are filled in.
 *
 * Three passes: the schema (generated from the CRDs), the scalars (addresses, ports, selectors: values with a
 * syntax), and the kind's own rules across fields (validate/<kind>.ts). The last runs only on what passed the
 * first two, so it can trust the types. There is no server behind etcd or the embedded store: what is let
 * through here is in force.
 */

import { completeResource, withoutNulls } from "./defaults.ts";
import type { Resource } from "./generated/types.ts";
import { API_VERSION, isKind, KINDS } from "./kinds.ts";
import { type Problem, pathText, type Report } from "./problem.ts";
import { readScalars } from "./read-scalars.ts";
import { schemaProblems } from "./schema-problems.ts";
import { checkMetadata } from "./validate/metadata.ts";
import { checkKind, checkUpdate } from "./validate/rules.ts";

export interface ValidateOptions {
  /** What is wrong with a selector, or undefined. The parser is policy/'s, above here; without it selectors pass. */
  readonly parseSelector?: (text: string) => string | undefined;
  /** `keep` lets fields pass that the schema does not know, as for what a newer Calico stored. Default `error`. */
  readonly unknownFields?: "error" | "keep";
}

export type Validation =
  | { readonly resource: Resource; readonly problems?: undefined }
  | { readonly problems: readonly Problem[]; readonly resource?: undefined };

/** The resource in `value` with defaults filled in and scalars canonical, or everything that is wrong with it. `value` itself is not changed. */
export function validateResource(value: unknown, options: ValidateOptions = {}): Validation {
  const problems: Problem[] = [];
  const report: Report = (path, message, expected) => problems.push({ path, message, expected });

  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    report([], "the document is not a resource", "a mapping with apiVersion, kind, metadata and spec");
    return { problems };
  }
  const resource = withoutNulls(value) as unknown as Resource;
  if (resource.apiVersion !== API_VERSION) {
    const found = resource.apiVersion as unknown;
    const message =
      found === undefined ? "apiVersion is missing" : `unknown apiVersion ${JSON.stringify(found)}`;
    report(["apiVersion"], message, API_VERSION);
  }
  if (!isKind(resource.kind)) {
    const found = resource.kind as unknown;
    const message = found === undefined ? "kind is missing" : `unknown kind ${JSON.stringify(found)}`;
    report(["kind"], message, `one of ${Object.keys(KINDS).join(", ")}`);
  }
  if (problems.length > 0) return { problems };

  completeResource(resource);
  problems.push(...schemaProblems(resource, options.unknownFields ?? "error"));
  const known = new Set(problems.map(({ path }) => pathText(path)));
  const reportNew: Report = (path, message, expected) => {
    if (!known.has(pathText(path))) report(path, message, expected);
  };
  readScalars(resource, reportNew, options.parseSelector);
  if (problems.length === 0) {
    checkMetadata(resource, report);
    checkKind(resource, report);
  }
  return problems.length > 0 ? { problems } : { resource };
}

/**
 * The resource in `value`, for agents: not everybody who can write to the datastore has to validate first.
 * @throws TypeError with everything that is wrong in the message
 */
export function validResource(value: unknown): Resource {
  const { resource, problems } = validateResource(value, { unknownFields: "keep" });
  if (!problems) return resource;
  throw new TypeError(problems.map(({ path, message }) => `${pathText(path)}: ${message}`).join("; "));
}

/**
 * The same resource with defaults filled in and scalars canonical, as far as they can be read: for what comes
 * out of a datastore, where others may have written it. Nothing is refused.
 */
export function applyDefaults<R extends Resource>(value: R): R {
  const resource = withoutNulls(value) as R;
  completeResource(resource);
  schemaProblems(resource, "keep");
  readScalars(resource);
  return resource;
}

/** What is wrong with putting `next`, itself valid, in the place of what is stored. */
export function validateUpdate(previous: Resource, next: Resource): readonly Problem[] {
  const problems: Problem[] = [];
  checkUpdate(applyDefaults(previous), next, (path, message, expected) =>
    problems.push({ path, message, expected }),
  );
  return problems;
}
