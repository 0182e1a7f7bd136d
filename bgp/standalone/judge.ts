/** node-bgp's own verdict on options, as problems of the file they come from: its limits are asked, not repeated. */

import { OptionError } from "node-bgp";
import type { Path, Report } from "../../crd-schemas/problem.ts";

/** What node-bgp calls otherwise than the file does. */
const FILE_NAMES: Readonly<Record<string, string>> = {
  asn: "as",
  localAsn: "localAs",
  reflectorClient: "rrClient",
};

/** Without these nothing else can be judged. */
const NEEDED: ReadonlySet<string> = new Set(["address", "asn", "routerId", "prefix", "collectors"]);

/**
 * node-bgp stops at the first thing that is wrong, so it is asked again without that, until it has nothing to say or what is wrong
 * cannot be left out. `whole`: the file has one value for all of it, and that is what is wrong.
 */
export function judge<T extends object>(
  path: Path,
  report: Report,
  options: T,
  check: (options: T) => void,
  whole = false,
): void {
  for (let rest = options; ; ) {
    try {
      check(rest);
      return;
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      const { steps, text, expected } = verdict(error);
      const [first = "", ...deeper] = steps;
      report(whole ? path : [...path, FILE_NAMES[first] ?? first, ...deeper], text, expected);
      if (!Object.hasOwn(rest, first) || NEEDED.has(String(first))) return;
      const { [first as keyof T]: _wrong, ...others } = rest;
      rest = others as T;
    }
  }
}

/** Where: `rules[2].match.prefixes[0]` as steps; what, and what was expected. */
export function verdict({ option, message }: OptionError): { steps: Path; text: string; expected: string } {
  const steps = (option.match(/[^.[\]]+/g) ?? []).map(step => (/^\d+$/.test(step) ? Number(step) : step));
  const [, text = message, expected = "another value"] = /^[^:]*: (.* is not (.*))$/s.exec(message) ?? [];
  return { steps, text, expected };
}
