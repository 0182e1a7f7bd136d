/** Writes the TypeScript types: one exported interface or alias for each definition. */

import { compile, type JSONSchema } from "json-schema-to-typescript";
import { SCALARS, type Scalar } from "../scalars.ts";
import type { Model, Schema } from "./crd.ts";

export async function typesSource(model: Model): Promise<string> {
  const scalars = (Object.values(SCALARS) as Scalar[]).flatMap(({ type }) => type ?? []).sort();
  const parts = [
    "// Made by crd-schemas/generate from the CRDs beside it. Change those.",
    `import type { ${scalars.join(", ")} } from "../scalars.ts";`,
  ];
  for (const [name, definition] of Object.entries(model.definitions)) {
    const source = await compile(referencesByName(definition) as JSONSchema, name, {
      bannerComment: "",
      additionalProperties: false,
      ignoreMinAndMaxItems: true,
      style: { printWidth: 110 },
    });
    parts.push(source.trim());
  }
  const kinds = model.crds.map(crd => crd.kind).sort();
  parts.push(
    "/** The type of each kind's resources. */",
    `export interface ResourceOfKind {\n${kinds.map(kind => `  ${kind}: ${kind};`).join("\n")}\n}`,
    "/** A resource of any kind; `kind` tells which. */",
    "export type Resource = ResourceOfKind[keyof ResourceOfKind];",
  );
  return `${parts.join("\n\n")}\n`;
}

/** Each definition is compiled by itself, so references stand as names and nothing is written twice. */
function referencesByName(schema: Schema): Schema {
  const { $ref, ...result } = schema;
  if ($ref !== undefined) return { ...result, tsType: $ref.slice("#/definitions/".length) };
  if (schema.properties) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, referencesByName(property)]),
    );
  }
  if (schema.items) result.items = referencesByName(schema.items);
  if (typeof schema.additionalProperties === "object") {
    result.additionalProperties = referencesByName(schema.additionalProperties);
  }
  return result as Schema;
}
