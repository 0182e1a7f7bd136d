/** What rules have counted, out of `iptables-save -c`: `[12:960] -A chain …`. */

import type { TableName } from "./parse.ts";

export interface Counter {
  readonly packets: number;
  readonly bytes: number;
}

/** By chain, one entry for each rule in its order. */
export type ChainCounters = Map<string, readonly Counter[]>;

const LINE = /^\*(\S+)|^\[(\d+):(\d+)\] -A (\S+)/gm;

export function parseCounters(
  text: string,
  wanted: (chain: string) => boolean,
): Map<TableName, ChainCounters> {
  const tables = new Map<TableName, Map<string, Counter[]>>();
  let chains = new Map<string, Counter[]>();
  for (const [, table, packets, bytes, chain = ""] of text.matchAll(LINE)) {
    if (table !== undefined) {
      chains = new Map();
      tables.set(table as TableName, chains);
    } else if (wanted(chain)) {
      const counters = chains.get(chain) ?? [];
      counters.push({ packets: Number(packets), bytes: Number(bytes) });
      chains.set(chain, counters);
    }
  }
  return tables;
}
