/**
 * The tables of fields in docs/bgp-standalone.md, made of the schema: `node bgp/standalone/reference.ts` writes them anew; a unit
 * test finds out where that was forgotten.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SCHEMA } from "./schema.ts";
import type { SchemaNode } from "./schema-node.ts";

export const DOCUMENT = join(import.meta.dirname, "../../docs/bgp-standalone.md");
const [BEGIN, END] = ["<!-- fields: made by bgp/standalone/reference.ts -->", "<!-- end of fields -->"];

const TYPE_NAMES: Readonly<Record<string, string>> = {
  integer: "number",
  string: "text",
  boolean: "true or false",
  array: "list",
  object: "mapping",
};

/** Fields with fields of their own get a table of their own; those of peers are in one, as groups have the same. */
export function reference(): string {
  const sections: string[] = [];
  section("The file", "", SCHEMA, sections);
  return sections.join("\n");
}

function section(title: string, path: string, node: SchemaNode, sections: string[]): void {
  const { properties = {}, required = [] } = node;
  const rows = Object.entries(properties).map(([name, field]) => {
    const { description = "", items } = field;
    const cells = [
      `\`${name}\``,
      typeText(field),
      required.includes(name) ? "must be given" : defaultText(field),
      description + allowed(items === undefined ? field : items),
    ];
    return `| ${cells.map(cell => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  const heading = path === "" ? `### ${title}` : `### \`${path}\``;
  sections.push(
    `${heading}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`,
  );
  for (const [name, field] of Object.entries(properties)) {
    const inside = within(field);
    // What peers have, groups have; said once.
    if (inside === undefined || (path === "" && name === "groups")) continue;
    const below = path === "" ? name : `${path}.${name}`;
    if (below === "dynamicPeers") sections.push(dynamicNote(inside));
    else section(name, below, inside, sections);
  }
}

/** The mapping a field is, or a list or mapping of. */
function within(field: SchemaNode): SchemaNode | undefined {
  const { properties, items, additionalProperties } = field;
  if (properties !== undefined) return field;
  if (items?.properties !== undefined) return items;
  return typeof additionalProperties === "object" && additionalProperties.properties !== undefined
    ? additionalProperties
    : undefined;
}

function dynamicNote({ properties = {}, required = [] }: SchemaNode): string {
  const own = Object.fromEntries(["prefix", "as", "limit", "group"].map(name => [name, properties[name]!]));
  const sections: string[] = [];
  section("dynamicPeers", "dynamicPeers", { properties: own, required }, sections);
  return `${sections.join("\n")}\nAnd every field of \`peers\` but those about dialling: \`port\`, \`passive\`, \`passiveFallback\`, \`connectRetryTime\`.\n`;
}

function typeText({ type, items }: SchemaNode): string {
  const names = (typeof type === "string" ? [type] : (type ?? [])).map(name => TYPE_NAMES[name] ?? name);
  const element = items?.type === undefined || names.length !== 1 ? "" : ` of ${typeText(items)}`;
  return names.join(", ") + element;
}

function defaultText({ default: value, type }: SchemaNode): string {
  if (value === undefined) return type === "object" ? "" : "none";
  return typeof value === "string" ? value : `\`${JSON.stringify(value)}\``;
}

function allowed({ enum: values, minimum, maximum }: SchemaNode): string {
  if (values !== undefined) return ` One of ${values.map(value => `\`${value}\``).join(", ")}.`;
  if (minimum === undefined || maximum === undefined || maximum === 4294967295) return "";
  return ` ${minimum} to ${maximum}.`;
}

/** The document with its tables as they should be. */
export function withReference(document: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${DOCUMENT} has no place for the fields`);
  return `${document.slice(0, begin)}${BEGIN}\n\n${reference()}\n${document.slice(end)}`;
}

if (import.meta.main) writeFileSync(DOCUMENT, withReference(readFileSync(DOCUMENT, "utf8")));
