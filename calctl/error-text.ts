/** What an error says to a user. Loaded with every command, so it imports next to nothing. */

import { isDatastoreError } from "../datastore/errors.ts";
import { keyText } from "../datastore/key.ts";

/** A datastore's refusal, in the words that calicoctl's users know. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!isDatastoreError(error) || error.key === undefined) return error.message;
  const resource = keyText(error.key);
  switch (error.code) {
    case "ALREADY_EXISTS":
      return `resource already exists: ${resource}`;
    case "NOT_FOUND":
      return `resource does not exist: ${resource}`;
    case "CONFLICT":
      return `update conflict: ${resource} has been changed meanwhile; get it again and repeat the change`;
    default:
      return error.message;
  }
}
