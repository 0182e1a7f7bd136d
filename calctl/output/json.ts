/** JSON as commands print it: indented, and with bigints as numbers (as text where no number holds them exactly). */

export function jsonText(value: unknown): string {
  const replacer = (_: string, field: unknown) =>
    typeof field !== "bigint"
      ? field
      : field <= BigInt(Number.MAX_SAFE_INTEGER)
        ? Number(field)
        : String(field);
  return `${JSON.stringify(value, replacer, 2)}\n`;
}
