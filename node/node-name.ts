/**
 * The node's name: all components of a host must agree on it (Felix, BGP, the CNI plugin), and it must not change
 * when the host's name does, because blocks and endpoints are kept under it. So it is written to a file, and the
 * file wins over the host's name from then on.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";

export interface NameSources {
  /** NODENAME. */
  readonly nodeName: string | undefined;
  /** HOSTNAME. */
  readonly hostName: string | undefined;
  readonly nodenameFile: string;
}

/** @throws NodeStartError INVALID_ENVIRONMENT where the name could not be the name of a Node */
export function determineNodeName(sources: NameSources, osHostName: string = hostname()): string {
  const { nodeName, hostName, nodenameFile } = sources;
  const written = nodeName === undefined ? readText(nodenameFile) : undefined;
  const name = (nodeName ?? written ?? hostName ?? osHostName).trim().toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name) || name.length > 253) {
    const source =
      nodeName !== undefined ? "NODENAME" : written !== undefined ? nodenameFile : "the host's name";
    throw new NodeStartError(
      NodeStartErrorCode.InvalidEnvironment,
      `${source}: "${name}" cannot name a node: use letters, digits, "-" and "."; NODENAME sets another name`,
      { variable: source, value: name },
    );
  }
  return name;
}

export function writeNodeName(file: string, name: string): void {
  writeAtomically(file, name);
}

/** Undefined where there is no such file, or nothing in it. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Readers see the old text or the new, also after a power failure. */
export function writeAtomically(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.new`;
  const fd = openSync(temporary, "w", 0o644);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, file);
}
