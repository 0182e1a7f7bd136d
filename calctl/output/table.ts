/**
 * Tables as Go's tab writer lays them out for calicoctl (minimum width 5, padding 3), so that scripts which cut
 * columns keep working: a column is as wide as its longest cell plus the padding, and a blank line ends the table.
 */

const MIN_WIDTH = 5;
const PADDING = 3;

export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) =>
    Math.max(MIN_WIDTH, PADDING + Math.max(...all.map(row => width(row[column] ?? "")))),
  );
  const lines = all.map(row =>
    row
      .map((cell, column) => cell + " ".repeat(widths[column]! - width(cell)))
      .join("")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n\n`;
}

/** A table with a border, as `ipam show` and `node status` print it: `number` columns are aligned to the right. */
export function borderedTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: readonly string[] = [],
): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map(row => width(row[column] ?? ""))));
  const centre = (text: string, column: number) => {
    const left = Math.floor((widths[column]! - width(text)) / 2);
    return " ".repeat(left) + text + " ".repeat(widths[column]! - width(text) - left);
  };
  const align = (text: string, column: number) =>
    numbers.includes(headings[column]!) ? text.padStart(widths[column]!) : text.padEnd(widths[column]!);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = `+${widths.map(columns => "-".repeat(columns + 2)).join("+")}+`;
  return `${[rule, line(headings.map(centre)), rule, ...rows.map(row => line(row.map(align))), rule].join("\n")}\n`;
}

/** Code points, as Go's tab writer counts. */
function width(text: string): number {
  return [...text].length;
}
