/** What is wrong with a resource, said so that a command line can point at the place in the file. */

/** Steps from the resource down to a value: field names and places in lists. */
export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  /** What is wrong, as a sentence without the path: `"foo" is not an IP address`. */
  readonly message: string;
  /** What would be right: `an IP address`. */
  readonly expected: string;
}

export type Report = (path: Path, message: string, expected: string) => void;

/** `spec.ingress[0].source.nets[1]` */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

/** A value as it may stand in a message: short, quoted if text. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
