/**
 * What a program can leave behind on a machine, read off it, so that before and after can be compared: the proof
 * that a lab, a demo or a test run cleaned up.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { labNamespace } from "./plan.ts";
import { processesOfLabs } from "./process.ts";

export interface Traces {
  readonly [what: string]: readonly string[];
}

/** Directories that ours would be in. */
const STATE_DIRECTORIES = [
  "/run/calyx",
  "/var/run/calico",
  "/var/lib/calico",
  "/var/lib/calyx",
  "/var/log/calico",
];

/** Of this lab, and what is the machine's: other labs, and other programs' namespaces, come and go meanwhile. */
export function takeTraces(lab: string): Traces {
  return {
    namespaces: existsSync("/run/netns")
      ? readdirSync("/run/netns").filter(name => name.startsWith(labNamespace(lab, "")))
      : [],
    links: lines("ip", "-o", "link").map(line => line.split(/[:@]/)[1]?.trim() ?? line),
    addresses: lines("ip", "-br", "address"),
    routes: [
      ...lines("ip", "-4", "route", "show", "table", "all"),
      ...lines("ip", "-6", "route", "show", "table", "all"),
    ],
    rules: lines("ip", "rule"),
    ...Object.fromEntries(
      ["iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"].map(
        save => [
          save,
          // counters and the comment lines with the time change by themselves
          lines(save).filter(line => line.startsWith("-A") || (line.startsWith(":") && line.includes(" - "))),
        ],
      ),
    ),
    tables: lines("nft", "list", "tables"),
    sets: lines("ipset", "list", "-n"),
    processes: processesOfLabs()
      .filter(process => process.lab === lab)
      .map(({ pid, command }) => `${pid}: ${command}`),
    files: STATE_DIRECTORIES.flatMap(directory => filesUnder(directory)).filter(path => isOf(lab, path)),
  };
}

/** What is there now and was not before, and what is gone: empty when nothing was left behind. */
export function compareTraces(before: Traces, after: Traces): string[] {
  const differences: string[] = [];
  for (const what of Object.keys(after)) {
    const [old, now] = [new Set(before[what]), new Set(after[what])];
    for (const item of now) if (!old.has(item)) differences.push(`left behind, ${what}: ${item}`);
    for (const item of old) if (!now.has(item)) differences.push(`gone, ${what}: ${item}`);
  }
  return differences;
}

/** Lines of a command's output; none where the command is missing or refuses. */
function lines(command: string, ...args: string[]): string[] {
  try {
    const output = execFileSync(command, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1 << 28,
    });
    return output
      .split("\n")
      .filter(line => line !== "")
      .sort();
  } catch {
    return [];
  }
}

/** Everything but the records of other labs, and the directory they are in. */
function isOf(lab: string, path: string): boolean {
  const [, other] = /^\/run\/calyx\/labs(?:\/([^/]+))?/.exec(path) ?? [];
  return !path.startsWith("/run/calyx/labs") || other === lab;
}

function filesUnder(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).map(name => join(directory, name));
}
