/**
 * Compiles the definitions into stand-alone validator functions, so that nothing is compiled when a program
 * starts (compiling the policies' schemas alone takes longer than calctl may take for everything).
 */

import { Ajv } from "ajv";
import standaloneCode from "ajv/dist/standalone/index.js";
import type { Model } from "./crd.ts";

export function validatorsSource(model: Model): { code: string; types: string } {
  const ajv = new Ajv({
    strict: true,
    allowUnionTypes: true,
    allErrors: true,
    useDefaults: true,
    inlineRefs: false,
    messages: false,
    // Lengths in UTF-16 units: for the limits here the difference does not matter, and the code needs no import.
    unicode: false,
    logger: false, // it would call that option deprecated
    code: { source: true, esm: true, lines: true },
  });
  ajv.addVocabulary(["tsType"]);
  ajv.addSchema({ $id: "crds", definitions: model.definitions });
  const kinds = model.crds.map(crd => crd.kind);
  const names = Object.fromEntries(kinds.map(kind => [kind, `crds#/definitions/${kind}`]));
  const code = standaloneCode.default(ajv, names);
  if (code.includes("require(")) throw new Error("the validators would need a module of ajv's at run time");
  return {
    code: `${code}\nexport const validators = { ${kinds.join(", ")} };\n`,
    types: [
      "// Made by crd-schemas/generate from the CRDs beside it. Change those.",
      'import type { ValidateFunction } from "ajv";',
      'import type { ResourceOfKind } from "./types.ts";',
      "export const validators: Readonly<Record<keyof ResourceOfKind, ValidateFunction>>;",
      "",
    ].join("\n"),
  };
}
