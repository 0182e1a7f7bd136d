/** How long ago, in the two largest units: `4s`, `3m12s`, `2h05m`, `11d03h`. */

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const [name, size] = UNITS[first] ?? UNITS.at(-1)!;
  const next = UNITS[first + 1];
  const whole = `${Math.floor(seconds / size)}${name}`;
  if (first < 0 || next === undefined) return whole;
  return `${whole}${String(Math.floor((seconds % size) / next[1])).padStart(2, "0")}${next[0]}`;
}
