/**
 * The word syntax of restore files: words separated by blanks, double quotes around a word with blanks in it,
 * backslash before a quote or a backslash. There is no way to write a newline, so none may ever get in:
 * it would start a line of its own, and a policy's name must not be able to do that.
 */

import { InvalidRuleError } from "./errors.ts";

const PLAIN = /^[A-Za-z0-9_.:,/+@%=~^-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const CONTROL = /[\u0000-\u001f\u007f]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const CONTROLS = /[\u0000-\u001f\u007f]/g;

/** One word, quoted where it needs to be. */
export function quote(word: string): string {
  if (PLAIN.test(word)) return word;
  if (CONTROL.test(word)) throw new InvalidRuleError("argument", word, "no control characters");
  return `"${word.replace(/["\\]/g, "\\$&")}"`;
}

/** Free text for people (comments, log prefixes): made fit, never refused, because it changes no verdict. */
export function quoteText(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text.replace(CONTROLS, "_"));
  let end = Math.min(bytes.length, maxBytes);
  // Not in the middle of a character.
  while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
  return `"${bytes.toString("utf8", 0, end).replace(/["\\]/g, "\\$&")}"`;
}

/** The words of one line. Inverse of `words.map(quote).join(" ")`. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let i = 0;
  while (i < line.length) {
    if (line[i] === " " || line[i] === "\t") {
      i++;
      continue;
    }
    let word = "";
    let quoted = false;
    for (; i < line.length; i++) {
      const c = line[i]!;
      if (c === '"') quoted = !quoted;
      else if (c === "\\" && quoted && i + 1 < line.length) word += line[++i];
      else if ((c === " " || c === "\t") && !quoted) break;
      else word += c;
    }
    words.push(word);
  }
  return words;
}
