/** Restore files: the language that `iptables-restore` reads. One section per table, each committed atomically. */

import type { TableName } from "./parse.ts";

export interface Section {
  readonly table: TableName;
  /** Without `*table` and COMMIT. */
  readonly lines: readonly string[];
}

export function renderRestore(sections: readonly Section[]): string {
  return sections.map(s => `*${s.table}\n${s.lines.join("\n")}\nCOMMIT\n`).join("");
}

/** Creates the chain if it is not there, empties it if it is. */
export const declareChain = (chain: string) => `:${chain} - -`;

/** `-A chain`, with the hash, where there is one, as the first comment. */
export const appendRule = (chain: string, hashComment: string | undefined, text: string) =>
  `-A ${chain} ${hashComment === undefined ? text : withHash(hashComment, text)}`.trimEnd();

export const withHash = (hashComment: string, text: string) =>
  `-m comment --comment "${hashComment}" ${text}`.trimEnd();
