/** nft's messages for each case, from the nft that is installed, in a namespace of its own; and as they are kept. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inNamespace } from "../../../../linux/namespace.ts";
import { OBJECTS, PREPARATION, RULES } from "./nft-cases.ts";
import { type NftMessage, readNftDebug } from "./nft-debug.ts";

export const GOLDEN_FILE = join(import.meta.dirname, "goldens.txt");

export interface Goldens {
  /** Of nft. */
  readonly version: string;
  readonly messages: Readonly<Record<string, readonly NftMessage[]>>;
}

export const nftVersion = (): string => execFileSync("nft", ["--version"], { encoding: "utf8" }).trim();

/** The version, then each command and, indented, its messages: type and body. */
export function formatGoldens({ version, messages }: Goldens): string {
  const lines = Object.entries(messages).flatMap(([command, sent]) => [
    command,
    ...sent.map(({ type, body }) => `  ${type} ${body}`),
  ]);
  return `${[version, ...lines].join("\n")}\n`;
}

export function keptGoldens(): Goldens {
  const [version = "", ...lines] = readFileSync(GOLDEN_FILE, "utf8").trimEnd().split("\n");
  const messages: Record<string, NftMessage[]> = {};
  let sent: NftMessage[] = [];
  for (const line of lines) {
    const [, type, body] = /^ {2}(\d+) ([0-9a-f]+)$/.exec(line) ?? [];
    if (body !== undefined) sent.push({ type: Number(type), body });
    else {
      sent = [];
      messages[line] = sent;
    }
  }
  return { version, messages };
}

export function nft(namespace: string, input: string, ...options: string[]): string {
  return inNamespace(namespace, () =>
    execFileSync("nft", [...options, "-f", "-"], { input, encoding: "utf8", stdio: "pipe" }),
  );
}

/** Each case begins with the same tables. */
export function recordGoldens(namespace: string): Goldens {
  const messages: Record<string, NftMessage[]> = {};
  for (const command of [...RULES, ...OBJECTS].map(each => each.nft)) {
    nft(namespace, `flush ruleset\n${PREPARATION}`);
    messages[command] = readNftDebug(nft(namespace, `${command}\n`, "--debug=mnl"));
  }
  return { version: nftVersion(), messages };
}
