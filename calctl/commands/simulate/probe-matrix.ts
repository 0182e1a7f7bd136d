/** Answers to probes as a matrix of those that they name. */

import type { Answer } from "./answers.ts";
import { matrixText } from "./matrix-text.ts";

export function probeMatrix(answers: readonly Answer[]): string {
  const names = [...new Set(answers.flatMap(({ from, to }) => [from, to]))].sort();
  const bySource = Map.groupBy(answers, ({ from }) => from);
  const between = new Map([...bySource].map(([from, own]) => [from, Map.groupBy(own, ({ to }) => to)]));
  const asked = new Map<string, Set<string>>();
  for (const { to, traffic } of answers) asked.set(to, (asked.get(to) ?? new Set()).add(traffic));
  return matrixText({
    entries: names.map(name => {
      const ports = asked.get(name);
      return ports ? { name, ports: [...ports].join(", ") } : { name };
    }),
    cell: (from, to) => {
      const own = between.get(names[from]!)?.get(names[to]!);
      if (own === undefined) return undefined;
      const open = own.filter(({ decisions }) => decisions.verdict === "allow");
      if (open.length === own.length) return { open: "all" };
      return open.length === 0
        ? { open: "none" }
        : { open: "some", what: open.map(({ traffic }) => traffic).join(", ") };
    },
  });
}
