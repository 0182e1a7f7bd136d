/** Resources to text, in any of the formats. Pure. */

import type { ResourceKind } from "../../datastore/key.ts";
import { CommandError } from "../errors.ts";
import { didYouMean } from "../nearest.ts";
import { COLUMNS, type ColumnDefaults, type ColumnValue, type Row } from "./columns.ts";
import { exported } from "./export.ts";
import type { Format } from "./format.ts";
import { table } from "./table.ts";

const API_VERSION = "projectcalico.org/v3";

/** Resources of one kind that were asked for together. */
export interface ResultGroup {
  readonly kind: ResourceKind;
  readonly items: readonly Row[];
  /** Present where the kind was listed, rather than single names asked for. */
  readonly list?: { readonly resourceVersion: string };
}

export interface RenderOptions {
  readonly export: boolean;
  /** Shows a NAMESPACE column first, for kinds that have namespaces. */
  readonly showNamespace: boolean;
  readonly defaults: ColumnDefaults;
}

export async function render(
  format: Format,
  groups: readonly ResultGroup[],
  options: RenderOptions,
): Promise<string> {
  const shown = options.export
    ? groups.map(group => ({ ...group, items: group.items.map(exported) }))
    : groups;
  switch (format.type) {
    case "json":
      return `${JSON.stringify(asDocument(shown), undefined, 2)}\n`;
    case "yaml":
      return yamlText(asDocument(shown));
    case "go-template":
      return format.render(templateData(shown));
    default:
      return shown.map(group => tableOf(group, format, options)).join("");
  }
}

/** As calicoctl writes it: keys sorted, lists not indented, and quoted so that YAML 1.1 readers see strings. */
export async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify(value, {
    version: "1.1",
    sortMapEntries: true,
    indentSeq: false,
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}

/** One resource as it is, one listed kind as its `<Kind>List`, anything else as a `List`. */
export function asDocument(groups: readonly ResultGroup[]): unknown {
  const [only] = groups;
  if (groups.length === 1 && only) {
    if (!only.list && only.items.length === 1) return only.items[0];
    return listOf(only);
  }
  return { kind: "List", apiVersion: API_VERSION, metadata: {}, items: groups.flatMap(group => group.items) };
}

function listOf({ kind, items, list }: ResultGroup): object {
  return { kind: `${kind}List`, apiVersion: API_VERSION, metadata: list ?? {}, items };
}

/**
 * What `.` is in a template: the results in order, each a `<Kind>List` (`{{range .}}{{range .Items}}`) or, asked for by
 * name, a resource. `.items` holds all resources together, as kubectl's templates expect.
 */
function templateData(groups: readonly ResultGroup[]): unknown {
  const results = groups.flatMap<object>(group => (group.list ? [listOf(group)] : group.items));
  return Object.assign(results, { items: groups.flatMap(group => group.items) });
}

function tableOf(group: ResultGroup, format: Format, options: RenderOptions): string {
  const { values, ps, wide } = COLUMNS[group.kind];
  const headings = format.type === "custom-columns" ? format.columns : format.type === "wide" ? wide : ps;
  const showNamespace = options.showNamespace && !headings.includes("NAMESPACE");
  const all: Record<string, ColumnValue> = {
    ...values,
    NAMESPACE: (resource: Row) => resource.metadata.namespace,
  };
  const columns = showNamespace ? ["NAMESPACE", ...headings] : headings;
  for (const heading of columns)
    if (!Object.hasOwn(all, heading))
      throw new CommandError(
        "USAGE",
        `${group.kind} has no column ${heading}${didYouMean(heading, Object.keys(values))}; it has ${Object.keys(values).join(", ")}`,
      );
  const rows = group.items.map(resource =>
    columns.map(heading => String(all[heading]!(resource, options.defaults) ?? "")),
  );
  return table(columns, rows);
}
