/**
 * Tables as Go's tab writer lays them out for calicoctl (minimum width 5, padding 3), so that scripts which cut
 * columns keep working: a column is as wide as its longest cell plus the padding, and a blank line ends the table.
 */

const MIN_WIDTH = 5;
const PADDING = 3;

/** Further rows keep to the columns of these, and move them where they do not fit. */
const FITTED_ROWS = 10_000;

export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return [...tableLines(headings, rows, rows.length + 1)].join("");
}

/** Each with its end: for tables that are too long to be held. */
export function* tableLines(
  headings: readonly string[],
  rows: Iterable<readonly string[]>,
  fitted = FITTED_ROWS,
): Generator<string> {
  const held = [headings];
  let widths: number[] | undefined;
  const line = (row: readonly string[]): string => {
    let text = "";
    for (let column = 0; column < row.length; column++) text += padded(row[column]!, widths![column]!);
    return `${text.trimEnd()}\n`;
  };
  for (const row of rows) {
    if (widths !== undefined) yield line(row);
    else if (held.push(row) > fitted) {
      widths = widthsOf(held);
      yield* held.map(line);
    }
  }
  if (widths === undefined) {
    widths = widthsOf(held);
    yield* held.map(line);
  }
  yield "\n";
}

function widthsOf(rows: readonly (readonly string[])[]): number[] {
  const widest = (column: number): number =>
    rows.reduce((most, row) => Math.max(most, width(row[column] ?? "")), 0);
  return rows[0]!.map((_, column) => Math.max(MIN_WIDTH, PADDING + widest(column)));
}

function padded(cell: string, columns: number): string {
  return cell.padEnd(cell.length + Math.max(PADDING, columns - width(cell)));
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
  return /[\ud800-\udbff]/.test(text) ? [...text].length : text.length;
}
