/**
 * Cuts a template into text and the tokens of its actions. Whitespace trimming (`{{- x -}}`) and comments are
 * done here, so that the parser sees neither. A blank between two operands means something in Go's grammar
 * (`.a .b` is two, `.a.b` is one), so tokens say whether one came before them.
 */

import { type Position, TemplateError } from "./error.ts";

export type Token =
  | { readonly type: "text"; readonly text: string; readonly position: Position }
  | { readonly type: "open" | "close"; readonly text: string; readonly position: Position }
  | {
      readonly type: "identifier" | "field" | "variable" | "symbol";
      readonly text: string;
      readonly position: Position;
      readonly spaced: boolean;
    }
  | {
      readonly type: "string" | "number";
      readonly text: string;
      readonly value: string | number;
      readonly position: Position;
      readonly spaced: boolean;
    };

const INSIDE =
  /(?<blank>[ \t\r\n]+)|(?<string>"(?:[^"\\\n]|\\.)*")|(?<raw>`[^`]*`)|(?<char>'(?:[^'\\\n]|\\.)+')|(?<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?))|(?<variable>\$[\p{L}\p{N}_]*)|(?<field>\.[\p{L}_][\p{L}\p{N}_]*)|(?<identifier>[\p{L}_][\p{L}\p{N}_]*)|(?<symbol>:=|[=|(),.])/uy;

export function lex(template: string): Token[] {
  const tokens: Token[] = [];
  const lineStarts = [0];
  for (let i = template.indexOf("\n"); i >= 0; i = template.indexOf("\n", i + 1)) lineStarts.push(i + 1);
  const positionOf = (offset: number): Position => {
    let line = lineStarts.length;
    while (lineStarts[line - 1]! > offset) line--;
    return { line, column: offset - lineStarts[line - 1]! + 1 };
  };
  const fail = (offset: number, message: string): never => {
    throw new TemplateError("TEMPLATE_SYNTAX", positionOf(offset), message);
  };

  let offset = 0;
  let trimNext = false;
  while (offset < template.length) {
    const open = template.indexOf("{{", offset);
    let text = template.slice(offset, open < 0 ? undefined : open);
    if (trimNext) text = text.replace(/^[ \t\r\n]+/, "");
    trimNext = false;
    const trimsBefore = open >= 0 && /^-[ \t\r\n]/.test(template.slice(open + 2, open + 4));
    if (trimsBefore) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") tokens.push({ type: "text", text, position: positionOf(offset) });
    if (open < 0) break;

    offset = open + (trimsBefore ? 3 : 2);
    const comment = /^[ \t\r\n]*\/\*/.exec(template.slice(offset));
    if (comment) {
      const end = template.indexOf("*/", offset);
      const close = end < 0 ? null : /^\*\/([ \t\r\n]+-)?}}/.exec(template.slice(end));
      if (close === null) fail(open, "comment is not closed with */}}");
      trimNext = close![1] !== undefined;
      offset = end + close![0].length;
      continue;
    }

    tokens.push({ type: "open", text: "{{", position: positionOf(open) });
    let spaced = true;
    for (;;) {
      const trimsAfter = /^[ \t\r\n]+-}}/.exec(template.slice(offset, offset + 64));
      const close = trimsAfter?.[0] ?? (template.startsWith("}}", offset) ? "}}" : undefined);
      if (close !== undefined) {
        tokens.push({ type: "close", text: "}}", position: positionOf(offset) });
        trimNext = trimsAfter !== null;
        offset += close.length;
        break;
      }
      if (offset >= template.length) fail(open, "action is not closed with }}");
      INSIDE.lastIndex = offset;
      const groups = INSIDE.exec(template)?.groups;
      if (groups === undefined) {
        const character = template[offset]!;
        fail(
          offset,
          "\"'`".includes(character) ? "string is not closed" : `unexpected ${JSON.stringify(character)}`,
        );
      }
      const position = positionOf(offset);
      const [kind, lexeme] = Object.entries(groups!).find(([, matched]) => matched !== undefined) as [
        string,
        string,
      ];
      offset += lexeme.length;
      if (kind === "blank") {
        spaced = true;
        continue;
      }
      if (kind === "string" || kind === "raw" || kind === "char") {
        const value =
          kind === "raw"
            ? lexeme.slice(1, -1)
            : unquote(lexeme, () => fail(offset - lexeme.length, `bad escape in ${lexeme}`));
        tokens.push({
          ...{ text: lexeme, position, spaced },
          ...(kind === "char" ? { type: "number", value: value.codePointAt(0)! } : { type: "string", value }),
        });
      } else if (kind === "number") {
        tokens.push({ type: "number", text: lexeme, value: Number(lexeme), position, spaced });
      } else {
        tokens.push({
          type: kind as "identifier" | "field" | "variable" | "symbol",
          text: lexeme,
          position,
          spaced,
        });
      }
      spaced = false;
    }
  }
  return tokens;
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };

/** Go's interpreted string: `\n`, `\x41`, `\u00e9`, `\101`. */
function unquote(lexeme: string, bad: () => never): string {
  return lexeme
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, code: string) => {
      if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
      if (/^[0-7]{3}$/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
      if ("\\\"'".includes(code)) return code;
      return ESCAPES[code] ?? bad();
    });
}
