/**
 * Probes: questions about packets, as files ask them. A list of
 *
 *   { from: ns/pod or address, to: ns/pod or address, port: 80 or a name, protocol: TCP }
 *
 * where `protocol` may be left out (TCP), `port` is for protocols that have ports, and `icmp: {type, code}` and
 * `sourcePort` may be added. With `expect: allow` or `deny` a probe is a test. Other fields come back as they are.
 */

import {
  type Path,
  type Protocol,
  parsePort,
  parseProtocol,
  protocolHasPorts,
} from "../../crd-schemas/index.ts";
import { type Located, parseSource, part } from "../../input/parse.ts";
import type { Place, Problem } from "../../input/problem.ts";
import type { Context } from "../context.ts";
import { CommandError } from "../errors.ts";
import { didYouMean } from "../nearest.ts";
import { InvalidDocuments } from "./problem.ts";
import { readSources } from "./source.ts";

export interface Probe {
  /** All that was written, to be given back. */
  readonly written: Readonly<Record<string, unknown>>;
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly port?: number | string;
  readonly sourcePort?: number;
  readonly icmp?: { readonly type: number; readonly code?: number };
  readonly expect?: "allow" | "deny";
  readonly locate: (path: Path) => Place;
}

/** @throws InvalidDocuments, CommandError */
export async function loadProbes(context: Context, file: string): Promise<Probe[]> {
  const sources = await readSources(context, [file]);
  const probes: Probe[] = [];
  const problems: Problem[] = [];
  for (const source of sources) {
    const parsed = parseSource(source);
    problems.push(...parsed.problems);
    for (const item of parsed.documents.flatMap(itemsOf)) {
      const probe = probeOf(item);
      if (Array.isArray(probe)) problems.push(...probe);
      else probes.push(probe);
    }
  }
  if (problems.length > 0) throw new InvalidDocuments(problems);
  if (probes.length === 0) throw new CommandError("INVALID_INPUT", `No probes in ${file}`);
  return probes;
}

function itemsOf(document: Located): Located[] {
  const { value } = document;
  return Array.isArray(value) ? value.map((item, i) => part(document, [i], item)) : [document];
}

function probeOf({ value, locate }: Located): Probe | Problem[] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return [
      { place: locate([]), path: [], message: "is no probe", expected: "a map with from, to and port" },
    ];
  const written = value as Record<string, unknown>;
  const problems: Problem[] = [];
  const problem = (field: string, message: string, expected: string): undefined => {
    problems.push({ place: locate([field]), path: [field], message, expected });
  };
  const end = (field: "from" | "to"): string => {
    const text = written[field];
    if (typeof text === "string" && text !== "") return text;
    problem(
      field,
      text === undefined ? `${field} is missing` : `${JSON.stringify(text)} is no name`,
      "a pod as namespace/name, or an IP address",
    );
    return "";
  };
  const from = end("from");
  const to = end("to");
  const protocol = readProtocol(written["protocol"] ?? "TCP");
  if (protocol === undefined)
    problem(
      "protocol",
      `${JSON.stringify(written["protocol"])} is no protocol${didYouMean(String(written["protocol"]), PROTOCOLS)}`,
      `${PROTOCOLS.join(", ")} or a number from 0 to 255`,
    );
  const port = readPort(written["port"]);
  const hasPorts = protocol === undefined || protocolHasPorts(protocol);
  if (written["port"] !== undefined && written["port"] !== null && port === undefined)
    problem(
      "port",
      `${JSON.stringify(written["port"])} is no port`,
      "a number from 1 to 65535, or the name of a port of the endpoint in to",
    );
  if (hasPorts && (written["port"] ?? undefined) === undefined)
    problem(
      "port",
      `port is missing, which ${protocol ?? "TCP"} needs`,
      "a number from 1 to 65535, or a name",
    );
  const sourcePort = readPort(written["sourcePort"]);
  if (written["sourcePort"] !== undefined && typeof sourcePort !== "number")
    problem("sourcePort", `${JSON.stringify(written["sourcePort"])} is no port`, "a number from 1 to 65535");
  const icmp = readIcmp(written["icmp"]);
  if (written["icmp"] !== undefined && icmp === undefined)
    problem(
      "icmp",
      `${JSON.stringify(written["icmp"])} is no ICMP type`,
      "a map with type and perhaps code, each from 0 to 255",
    );
  const { expect } = written;
  if (expect !== undefined && expect !== "allow" && expect !== "deny")
    problem("expect", `${JSON.stringify(expect)} is no verdict`, "allow or deny");
  if (problems.length > 0) return problems;
  return {
    written,
    from,
    to,
    locate,
    protocol: protocol!,
    ...(hasPorts && port !== undefined && { port }),
    ...(typeof sourcePort === "number" && { sourcePort }),
    ...(icmp && { icmp }),
    ...((expect === "allow" || expect === "deny") && { expect }),
  };
}

const PROTOCOLS = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "UDPLite"] as const;

export function readProtocol(value: unknown): Protocol | undefined {
  return typeof value === "string" || typeof value === "number" ? parseProtocol(value) : undefined;
}

/** A number, or the name of a port. */
export function readPort(value: unknown): number | string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const port = parsePort(value);
  if (port?.type === "named") return port.name;
  return port?.low === port?.high ? port?.low : undefined;
}

function readIcmp(value: unknown): Probe["icmp"] {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, code } = value as Record<string, unknown>;
  if (!isByte(type) || (code !== undefined && !isByte(code))) return undefined;
  return code === undefined ? { type } : { type, code };
}

function isByte(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255;
}
