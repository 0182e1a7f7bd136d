/**
 * ajv's verdict on a configuration file. Compiling the schema takes 15 MB that never come back, so bundles hold what ajv makes of
 * it instead of this module (setup/bundle.ts).
 */

import { Ajv, type Options, type ValidateFunction } from "ajv";
import { SCHEMA } from "./schema.ts";

export const AJV_OPTIONS: Options = {
  allErrors: true,
  allowUnionTypes: true,
  messages: false,
  // Lengths in UTF-16 units: the difference does not matter here, and the code needs no import.
  unicode: false,
  logger: false, // it would call that option deprecated
};

let compiled: ValidateFunction | undefined;

/** Its `errors` are those of the last call. */
export function validator(): ValidateFunction {
  compiled ??= new Ajv(AJV_OPTIONS).compile(SCHEMA);
  return compiled;
}
