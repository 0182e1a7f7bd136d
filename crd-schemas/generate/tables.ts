/**
 * Writes what else the CRDs say that programs need at run time: where scalars stand, which fields there are
 * (for messages about unknown ones), and the defaults of layered configuration.
 *
 * The objects of a layered configuration must not have their defaults filled in: an absent field means "as the
 * more general object says". So their defaults stand in the descriptions, as `[Default 90s]`, where
 * `kubectl explain` shows them, and are read from there. TypeScript checks them against the types.
 */

import type { Model, Schema } from "./crd.ts";

const LAYERED = ["BGPConfiguration", "FelixConfiguration", "KubeControllersConfiguration"];

export function tablesSource(model: Model): string {
  const scalars = Object.entries(model.scalarPaths).map(
    ([kind, list]) => `  ${kind}: ${JSON.stringify(list.map(({ path, scalar }) => [scalar, ...path]))},`,
  );
  const fields = Object.entries(model.definitions).map(
    ([name, definition]) => `  ${name}: ${JSON.stringify(fieldsOf(definition))},`,
  );
  const layered = model.crds.filter(({ kind }) => LAYERED.includes(kind));
  const defaults = layered.map(
    ({ kind, schema }) =>
      `  ${kind}: ${JSON.stringify(documentedDefaults(schema.properties!["spec"]!), null, 2)},`,
  );
  return [
    "// Made by crd-schemas/generate from the CRDs beside it. Change those.",
    `import type { ${layered.map(({ kind }) => `${kind}Spec`).join(", ")} } from "./types.ts";`,
    "/** The fields of a mapping and what is in them: more fields, the name of a definition, or 0 for neither. */",
    "export type Fields = { readonly [name: string]: Fields | string | 0 };",
    "/** For each kind, lists of a scalar's name followed by the path to where it stands. */",
    `export const SCALAR_PATHS: Readonly<Record<string, readonly (readonly string[])[]>> = {\n${scalars.join("\n")}\n};`,
    `export const FIELDS: Readonly<Record<string, Fields | string | 0>> = {\n${fields.join("\n")}\n};`,
    "/** What absent fields mean in the end, for the kinds whose objects are layers of one configuration. */",
    `export const DEFAULTS = {\n${defaults.join("\n")}\n} satisfies {\n${layered.map(({ kind }) => `  ${kind}: ${kind}Spec;`).join("\n")}\n};`,
    "",
  ].join("\n\n");
}

function fieldsOf(schema: Schema): unknown {
  if (schema.$ref) return schema.$ref.slice("#/definitions/".length);
  if (schema.items) return fieldsOf(schema.items);
  if (!schema.properties) return 0;
  return Object.fromEntries(
    Object.entries(schema.properties).map(([name, field]) => [name, fieldsOf(field)]),
  );
}

/** Nested mappings are followed; what has no default is left out. */
export function documentedDefaults(schema: Schema): Record<string, unknown> {
  const defaults: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const nested = field.properties && documentedDefaults(field);
    if (nested && Object.keys(nested).length > 0) defaults[name] = nested;
    const text = /\[Default (.+)\]$/.exec(field.description ?? "")?.[1];
    if (text !== undefined) defaults[name] = valueOfDefault(text, field);
  }
  return defaults;
}

function valueOfDefault(text: string, schema: Schema): unknown {
  if (schema.type === "boolean") return text === "true";
  if (schema.type === "integer" || schema.title === "ASNumber" || schema.title === "DSCP")
    return Number(text);
  if (schema.type !== "array") return text;
  return text.split(", ").map(element => {
    switch (schema.items?.title) {
      case "ProtoPort": {
        const [protocol, port] = element.split(":");
        return { protocol: protocol!.toUpperCase(), port: Number(port) };
      }
      case "RouteTableIDRange": {
        const [min, max] = element.split("-").map(Number);
        return { min, max };
      }
      default:
        return element;
    }
  });
}
