/** Values as Go prints them: `%v` and the verbs of printf. */

/** `[a b]`, `map[k:v]`; what is absent prints as nothing, as the zero values of Calico's string fields do. */
export function print(value: unknown): string {
  if (value === undefined) return "";
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(print).join(" ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${print(item)}`).join(" ")}]`;
  }
  return String(value);
}

/** Like Go's Sprintf, for `%v %s %d %q %t %f %g %e %x %X %o %b %c %T %%` with flags, width and precision. */
export function sprintf(format: string, values: readonly unknown[]): string {
  let next = 0;
  const text = format.replace(
    /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?([a-zA-Z%])?/g,
    (
      match,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      verb: string | undefined,
    ) => {
      if (verb === undefined) return "%!(NOVERB)";
      if (verb === "%") return "%";
      const number = (given: string | undefined) => (given === "*" ? Number(values[next++]) : Number(given));
      const columns = width === undefined ? 0 : number(width);
      const digits = match.includes(".") ? number(precision ?? "0") : undefined;
      if (next >= values.length) return `%!${verb}(MISSING)`;
      const value = values[next++];
      const body = convert(verb, value, flags, digits);
      if (flags.includes("-")) return body.padEnd(columns);
      const zero = flags.includes("0") && typeof value === "number";
      if (zero && body.startsWith("-")) return `-${body.slice(1).padStart(columns - 1, "0")}`;
      return body.padStart(columns, zero ? "0" : " ");
    },
  );
  if (next >= values.length) return text;
  return `${text}%!(EXTRA ${values
    .slice(next)
    .map(value => `${typeName(value)}=${print(value)}`)
    .join(", ")})`;
}

function convert(verb: string, value: unknown, flags: string, digits: number | undefined): string {
  const plus = flags.includes("+") && typeof value === "number" && value >= 0 ? "+" : "";
  const bad = () => `%!${verb}(${typeName(value)}=${print(value)})`;
  const integer = (radix: number) =>
    Number.isInteger(value) ? plus + (value as number).toString(radix) : bad();
  const float = (text: (number: number) => string) =>
    typeof value === "number" ? plus + text(value) : bad();
  const cut = (text: string) => (digits === undefined ? text : [...text].slice(0, digits).join(""));
  switch (verb) {
    case "v":
      return plus + print(value);
    case "s":
      return typeof value === "number" || typeof value === "boolean" ? bad() : cut(print(value));
    case "q":
      return typeof value === "string" ? JSON.stringify(cut(value)) : bad();
    case "t":
      return typeof value === "boolean" ? String(value) : bad();
    case "d":
      return integer(10);
    case "o":
      return integer(8);
    case "b":
      return integer(2);
    case "x":
    case "X": {
      const hex = typeof value === "string" ? Buffer.from(value).toString("hex") : integer(16);
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    case "c":
      return Number.isInteger(value) ? String.fromCodePoint(value as number) : bad();
    case "f":
    case "F":
      return float(number => number.toFixed(digits ?? 6));
    case "e":
      return float(number => number.toExponential(digits ?? 6).replace(/e([+-])(\d)$/, "e$10$2"));
    case "g":
      return float(number =>
        digits === undefined ? String(number) : String(Number(number.toPrecision(digits))),
      );
    case "T":
      return typeName(value);
    default:
      return bad();
  }
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  return Array.isArray(value) ? "[]interface {}" : "map[string]interface {}";
}
