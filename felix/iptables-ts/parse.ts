/**
 * Reads what `iptables-save` and `iptables -S` print. Rules stay text: they are compared by the hash in their
 * comment, or given back as they came (`-D` with the words `-A` was printed with).
 */

export type TableName = "raw" | "mangle" | "nat" | "filter" | "security";

export interface ParsedChain {
  /** Of built-in chains: ACCEPT or DROP. */
  readonly policy?: string;
  /** What follows `-A chain `, in order. */
  readonly rules: string[];
}

export type ParsedTable = Map<string, ParsedChain>;

/**
 * All tables in the text. `defaultTable` is the one for lines outside any section: `iptables -S` prints no header.
 * Counters are accepted and dropped; lines of no meaning here (comments, COMMIT) are skipped.
 */
export function parseSave(text: string, defaultTable: TableName = "filter"): Map<TableName, ParsedTable> {
  const tables = new Map<TableName, ParsedTable>();
  let table: ParsedTable | undefined;
  let lastName = "";
  let lastChain: ParsedChain | undefined;

  const open = (name: TableName): ParsedTable => {
    let opened = tables.get(name);
    if (!opened) {
      opened = new Map();
      tables.set(name, opened);
    }
    lastName = "";
    return opened;
  };
  const chainOf = (name: string): ParsedChain => {
    if (name === lastName && lastChain) return lastChain;
    table ??= open(defaultTable);
    let chain = table.get(name);
    if (!chain) {
      chain = { rules: [] };
      table.set(name, chain);
    }
    lastName = name;
    lastChain = chain;
    return chain;
  };
  const declare = (name: string, policy: string | undefined) => {
    table ??= open(defaultTable);
    const rules = table.get(name)?.rules ?? [];
    table.set(name, policy && policy !== "-" ? { policy, rules } : { rules });
    lastName = "";
  };

  let begin = 0;
  while (begin < text.length) {
    let end = text.indexOf("\n", begin);
    if (end < 0) end = text.length;
    let line = text.slice(begin, end);
    begin = end + 1;
    if (line.startsWith("[")) line = line.slice(line.indexOf("]") + 2);

    if (line.startsWith("-A ")) {
      const space = line.indexOf(" ", 3);
      if (space < 0) chainOf(line.slice(3)).rules.push("");
      else chainOf(line.slice(3, space)).rules.push(line.slice(space + 1));
    } else if (line.startsWith(":")) {
      const [name = "", policy] = line.slice(1).split(" ");
      declare(name, policy);
    } else if (line.startsWith("*")) {
      table = open(line.slice(1).trim() as TableName);
    } else if (line.startsWith("-P ")) {
      const [, name = "", policy] = line.split(" ");
      declare(name, policy);
    } else if (line.startsWith("-N ")) {
      declare(line.slice(3), undefined);
    }
  }
  return tables;
}
