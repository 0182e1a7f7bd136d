/**
 * Reads the CRDs and turns their OpenAPI schemas into one set of JSON Schema definitions, of which both the
 * TypeScript types and the validators are made.
 *
 * A schema with a `title` becomes a definition of that name, once, however many CRDs repeat it (a CRD has to
 * be self-contained, so they do repeat it); two different schemas of one title are an error. A title that
 * names a scalar (../scalars.ts) is noted instead as a place to parse.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parse } from "yaml";
import { SCALARS, type ScalarName } from "../scalars.ts";

/** A schema as it stands in a CRD, and as it is handed on; only what we look at is typed. */
export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  items?: Schema;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  nullable?: boolean;
  format?: string;
  $ref?: string;
  tsType?: string;
  [keyword: string]: unknown;
}

export interface Crd {
  readonly file: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly schema: Schema;
}

/** Where in a resource a scalar stands: `["spec", "ports", "*"]`, `*` for every element or value. */
export interface ScalarPath {
  readonly path: readonly string[];
  readonly scalar: ScalarName | "Selector";
}

export interface Model {
  readonly crds: readonly Crd[];
  /** Every named type, those of the kinds included, with `$ref: "#/definitions/<name>"` between them. */
  readonly definitions: Record<string, Schema>;
  readonly scalarPaths: Record<string, ScalarPath[]>;
}

export class CrdError extends Error {
  readonly code = "INVALID_CRD";
  readonly file: string;
  constructor(file: string, message: string) {
    super(`${file}: ${message}`);
    this.name = "CrdError";
    this.file = file;
  }
}

export function readYaml(file: string): unknown {
  // Every policy CRD repeats its rule schema through aliases, more often than the default limit allows.
  return parse(readFileSync(file, "utf8"), { maxAliasCount: -1 });
}

export function loadCrds(folder: string): Crd[] {
  const files = readdirSync(folder).filter(name => name.endsWith(".yaml"));
  return files.sort().map(name => {
    // biome-ignore lint/suspicious/noExplicitAny: a CRD's outer form is checked by its unit test
    const document = readYaml(join(folder, name)) as any;
    const { names, scope, versions } = document.spec;
    if (`${names.plural}.yaml` !== name) throw new CrdError(name, `holds ${names.plural}`);
    return {
      file: name,
      kind: names.kind,
      plural: names.plural,
      namespaced: scope === "Namespaced",
      schema: versions[0].schema.openAPIV3Schema,
    };
  });
}

export function buildModel(crds: readonly Crd[], objectMeta: Schema): Model {
  const definitions: Record<string, Schema> = {};
  const scalarPaths: Record<string, ScalarPath[]> = {};
  convert(objectMeta, { file: "object-meta.yaml", definitions, paths: [], path: [] });
  for (const crd of crds) {
    const paths: ScalarPath[] = [];
    const context = { file: crd.file, definitions, paths };
    const { spec, status } = crd.schema.properties as { spec: Schema; status?: Schema };
    const properties: Record<string, Schema> = {
      apiVersion: { type: "string", const: "projectcalico.org/v3" },
      kind: { type: "string", const: crd.kind },
      metadata: { $ref: "#/definitions/ObjectMeta" },
      spec: convert({ title: `${crd.kind}Spec`, ...spec }, { ...context, path: ["spec"] }),
    };
    if (status) {
      properties["status"] = convert(
        { title: `${crd.kind}Status`, ...status },
        { ...context, path: ["status"] },
      );
    }
    definitions[crd.kind] = {
      type: "object",
      description: crd.schema.description ?? "",
      properties,
      required: ["apiVersion", "kind", "metadata", "spec"],
      additionalProperties: false,
    };
    scalarPaths[crd.kind] = paths;
  }
  return { crds, definitions, scalarPaths };
}

interface Context {
  readonly file: string;
  readonly definitions: Record<string, Schema>;
  readonly paths: ScalarPath[];
  readonly path: readonly string[];
}

const IGNORED = ["title", "nullable", "format", "properties", "items", "additionalProperties"];

function convert(source: Schema, context: Context): Schema {
  const result: Schema = {};
  for (const [keyword, value] of Object.entries(source)) {
    if (!IGNORED.includes(keyword) && !keyword.startsWith("x-kubernetes-")) result[keyword] = value;
  }
  if (source["x-kubernetes-int-or-string"]) result.type = ["integer", "string"];
  if (source.nullable) result.type = [source.type as string, "null"];
  if (source.items) result.items = convert(source.items, within(context, "*"));
  if (source.properties) {
    result.properties = {};
    for (const [name, property] of Object.entries(source.properties)) {
      result.properties[name] = convert(property, within(context, name));
    }
    result.additionalProperties = false;
  } else if (typeof source.additionalProperties === "object") {
    result.additionalProperties = convert(source.additionalProperties, within(context, "*"));
  } else if (source.type === "object") {
    result.additionalProperties = true;
  }
  return source.title === undefined ? result : named(source.title, result, context);
}

function within(context: Context, step: string): Context {
  return { ...context, path: [...context.path, step] };
}

function named(title: string, schema: Schema, context: Context): Schema {
  if (title in SCALARS || title === "Selector") {
    const scalar = title as keyof typeof SCALARS | "Selector";
    context.paths.push({ path: context.path, scalar });
    const type = scalar === "Selector" ? undefined : (SCALARS[scalar] as { type?: string }).type;
    return type === undefined ? schema : { ...schema, tsType: type };
  }
  const { default: fallback, ...definition } = schema;
  const known = context.definitions[title];
  if (known === undefined) context.definitions[title] = definition;
  else if (!isDeepStrictEqual(undescribed(known), undescribed(definition))) {
    throw new CrdError(context.file, `${context.path.join(".")}: another schema is called ${title} too`);
  }
  const reference: Schema = { $ref: `#/definitions/${title}` };
  if (schema.description !== undefined) reference.description = schema.description;
  if (fallback !== undefined) reference.default = fallback;
  return reference;
}

/** Two uses of one type may describe it from their own side. */
function undescribed({ description: _, ...rest }: Schema): Schema {
  return rest;
}
