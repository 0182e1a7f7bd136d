/**
 * Who reaches whom, as a square of characters: rows are sources, columns targets under the same numbers, `O`
 * open, `.` closed, a letter where only some of it is open, explained below. A square is what shows the shape of a policy
 * at a glance: an isolated namespace is an empty column, a leak a lone mark.
 */

/** One line and one column: endpoints that no policy tells apart. */
export interface MatrixEntry {
  readonly name: string;
  /** What there is to reach: the ports it declares. Undefined for what is only a source. */
  readonly ports?: string;
}

export interface MatrixCell {
  readonly open: "all" | "none" | "some";
  /** What is open, where it is some. */
  readonly what?: string;
}

/** `cell` is undefined where nobody asks: an endpoint and itself. */
export interface Matrix {
  readonly entries: readonly MatrixEntry[];
  readonly cell: (from: number, to: number) => MatrixCell | undefined;
}

/** Columns that fit beside the names on a usual terminal; what has more is shown in several squares. */
const COLUMNS = 40;
const NAME_WIDTH = 44;
const PORTS_WIDTH = 36;

export function matrixText({ entries, cell }: Matrix): string {
  const targets = entries.flatMap(({ ports }, i) => (ports === undefined ? [] : [i]));
  const names = entries.map(({ name }) => cut(name, NAME_WIDTH));
  const ports = entries.map(entry => cut(entry.ports ?? "", PORTS_WIDTH));
  const digits = String(entries.length).length;
  const nameWidth = Math.max(4, ...names.map(name => name.length));
  const portsWidth = Math.max(5, ...ports.map(text => text.length));
  const letters = new Letters();
  const squares: string[] = [];
  for (let first = 0; first < targets.length; first += COLUMNS) {
    const columns = targets.slice(first, first + COLUMNS);
    const width = digits + 1;
    const head = [
      " ".repeat(digits),
      "FROM".padEnd(nameWidth),
      "PORTS".padEnd(portsWidth),
      `TO ${columns.map(to => String(to + 1).padStart(width)).join("")}`,
    ].join("  ");
    const lines = entries.map((_, from) => {
      const marks = columns.map(to => markOf(cell(from, to), letters).padStart(width)).join("");
      return [
        String(from + 1).padStart(digits),
        names[from]!.padEnd(nameWidth),
        ports[from]!.padEnd(portsWidth),
        `   ${marks}`,
      ].join("  ");
    });
    squares.push([head, ...lines].map(line => `${line.trimEnd()}\n`).join(""));
  }
  return `${squares.join("\n")}${letters.legend()}`;
}

function markOf(cell: MatrixCell | undefined, letters: Letters): string {
  if (cell === undefined) return "-";
  if (cell.open === "all") return "O";
  return cell.open === "none" ? "." : letters.of(cell.what ?? "");
}

/** a to z, then aa, ab, …: one for each thing that is partly open. */
class Letters {
  readonly #known = new Map<string, string>();

  of(what: string): string {
    let letter = this.#known.get(what);
    if (letter === undefined) {
      letter = letterOf(this.#known.size);
      this.#known.set(what, letter);
    }
    return letter;
  }

  legend(): string {
    const width = Math.max(1, ...[...this.#known.values()].map(letter => letter.length));
    const lines = [...this.#known].map(([what, letter]) => `${letter.padEnd(width)}  ${what}\n`);
    return `\n${"O".padEnd(width)}  open   .  closed   -  not asked\n${lines.join("")}`;
  }
}

function letterOf(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : letterOf(Math.floor(index / 26) - 1) + last;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
