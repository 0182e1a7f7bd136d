/** What `-o` names: parsed once, before the datastore is asked, so that a typing error costs nothing. */

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CommandError } from "../errors.ts";
import { didYouMean } from "../nearest.ts";

export type Format =
  | { readonly type: "ps" | "wide" | "yaml" | "json" }
  | { readonly type: "custom-columns"; readonly columns: readonly string[] }
  | { readonly type: "go-template"; readonly render: (data: unknown) => string };

const NAMES = ["ps", "wide", "yaml", "json", "custom-columns=", "go-template=", "go-template-file="];

/** @throws CommandError USAGE; TemplateError for a template that is none */
export async function parseFormat(text: string, cwd: string): Promise<Format> {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const argument = equals < 0 ? "" : text.slice(equals + 1);
  if (equals < 0 && (name === "ps" || name === "wide" || name === "yaml" || name === "json"))
    return { type: name };
  switch (name) {
    case "custom-columns": {
      const columns = argument
        .split(",")
        .map(column => column.trim().toUpperCase())
        .filter(column => column !== "");
      if (columns.length === 0)
        throw new CommandError("USAGE", "custom-columns needs columns: -o custom-columns=NAME,…");
      return { type: "custom-columns", columns };
    }
    case "go-template":
    case "go-template-file": {
      if (argument === "") throw new CommandError("USAGE", `${name} needs a value: -o ${name}=…`);
      const { compileTemplate } = await import("../go-template/index.ts");
      const template = name === "go-template" ? argument : await readTemplate(resolve(cwd, argument));
      return { type: "go-template", render: compileTemplate(template) };
    }
  }
  throw new CommandError(
    "USAGE",
    `unrecognized output format '${text}'${didYouMean(name, NAMES)}; expected ${NAMES.map(known => (known.endsWith("=") ? `${known}…` : known)).join(", ")}`,
  );
}

async function readTemplate(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new CommandError("INVALID_INPUT", `cannot read the template: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
