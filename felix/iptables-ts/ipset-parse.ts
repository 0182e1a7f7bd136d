/** Reads what `ipset save` prints, which may be millions of somebody else's members: those are skipped, not kept. */

export interface Params {
  readonly type: string;
  readonly maxElements: number;
}

export interface KernelSet extends Params {
  readonly elements: Set<string>;
}

/** Reads `ipset save`: the sets that `wanted` accepts. */
export function parseIpSets(text: string, wanted: (name: string) => boolean): Map<string, KernelSet> {
  const sets = new Map<string, KernelSet>();
  let lastName = "";
  let last: KernelSet | undefined;
  let begin = 0;
  while (begin < text.length) {
    let end = text.indexOf("\n", begin);
    if (end < 0) end = text.length;
    if (text.startsWith("add ", begin)) {
      const nameEnd = text.indexOf(" ", begin + 4);
      const name = text.slice(begin + 4, nameEnd);
      if (name !== lastName) {
        lastName = name;
        last = sets.get(name);
      }
      if (last) {
        // Options of an element (timeout, comment, nomatch) follow it; ours have none.
        let elementEnd = text.indexOf(" ", nameEnd + 1);
        if (elementEnd < 0 || elementEnd > end) elementEnd = end;
        last.elements.add(text.slice(nameEnd + 1, elementEnd));
      }
    } else if (text.startsWith("create ", begin)) {
      const [, name = "", type = "", ...words] = text.slice(begin, end).split(" ");
      if (wanted(name)) {
        const maxelem = words.indexOf("maxelem");
        const maxElements = maxelem < 0 ? 0 : Number(words[maxelem + 1]);
        sets.set(name, { type, maxElements, elements: new Set() });
      }
      lastName = "";
    }
    begin = end + 1;
  }
  return sets;
}
