/** Reads cases (README.md): YAML, with short forms for what stands in every one. */

import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { type Protocol, parseProtocol } from "../../crd-schemas/index.ts";
import type { Draft } from "../../datastore/client.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import { type Ip, type IpVersion, ip } from "../../net/ip.ts";

/** `reject`: somebody says no; `deny`: silence, or nobody cares which. */
export type Expected = "allow" | "deny" | "reject";

export interface CaseProbe {
  /** As it was written. */
  readonly text: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol | "icmp";
  readonly port?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
  readonly versions: readonly IpVersion[];
  readonly sourcePort?: number;
  readonly source?: Ip;
  readonly at?: Ip;
  readonly evidence?: "arrival";
  readonly unjudged: boolean;
  readonly expected: Expected;
}

export interface ConformanceCase {
  readonly name: string;
  readonly slow: boolean;
  readonly resources: readonly Draft<ResourceKind>[];
  /** discovery.k8s.io/v1 EndpointSlices, which calctl has no word for. */
  readonly slices: readonly EndpointSlice[];
  readonly endpoints: Readonly<Record<string, object>>;
  readonly probes: readonly CaseProbe[];
}

export interface EndpointSlice {
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** Names in angle brackets, and what they stand for. */
export type Vocabulary = (name: string) => string;

interface WrittenCase {
  readonly name: string;
  readonly slow?: boolean;
  readonly policies?: Readonly<Record<string, object>>;
  readonly resources?: readonly Draft<ResourceKind>[];
  readonly slices?: readonly EndpointSlice[];
  readonly endpoints?: Readonly<Record<string, object>>;
  readonly probes: readonly string[];
}

/** Names and whether they are slow: all that is known before there is a lab. */
export function listCases(): { readonly file: string; readonly name: string; readonly slow: boolean }[] {
  return caseFiles().flatMap(file =>
    written(file).map(({ name, slow = false }) => ({ file: basename(file, ".yaml"), name, slow })),
  );
}

/** @throws where a probe cannot be read */
export function readCase(file: string, name: string, vocabulary: Vocabulary): ConformanceCase {
  const path = caseFiles().find(each => basename(each, ".yaml") === file) as string;
  const found = written(path).find(each => each.name === name) as WrittenCase;
  const spoken = spell(found, vocabulary) as WrittenCase;
  return {
    name,
    slow: spoken.slow ?? false,
    resources: [
      ...(spoken.resources ?? []),
      ...Object.entries(spoken.policies ?? {}).map(
        ([policy, spec]) =>
          ({ kind: "GlobalNetworkPolicy", metadata: { name: policy }, spec }) as Draft<"GlobalNetworkPolicy">,
      ),
    ],
    slices: spoken.slices ?? [],
    endpoints: spoken.endpoints ?? {},
    probes: spoken.probes.map(readProbe),
  };
}

function caseFiles(): string[] {
  return globSync(join(import.meta.dirname, "cases", "*.yaml")).sort();
}

function written(path: string): WrittenCase[] {
  return parse(readFileSync(path, "utf8")) as WrittenCase[];
}

/** Says everywhere what names in angle brackets stand for. */
export function spell(value: unknown, vocabulary: Vocabulary): unknown {
  if (typeof value === "string") return value.replaceAll(/<(\w+)>/g, (_, name: string) => vocabulary(name));
  if (Array.isArray(value)) return value.map(item => spell(item, vocabulary));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, spell(inner, vocabulary)]));
}

function readProbe(text: string): CaseProbe {
  const [, from, to, what, where, expected, rest = ""] =
    /^(\S+) -> (\S+) ([a-zA-Z]+)(?::(\S+))? (allow|deny|reject)(.*)$/.exec(text) ?? [];
  if (from === undefined || to === undefined || what === undefined) throw new Error(`not a probe: ${text}`);
  const words = new Map(
    rest
      .split(" ")
      .filter(word => word !== "")
      .map(word => word.split("=") as [string, string | undefined]),
  );
  const take = (word: string) => {
    const value = words.get(word);
    const isThere = words.delete(word);
    return { isThere, value: value as string };
  };
  const [v4, v6, sourcePort, source, at, arrives, unjudged] = [
    "v4",
    "v6",
    "sport",
    "from",
    "at",
    "arrives",
    "unjudged",
  ].map(take) as [Word, Word, Word, Word, Word, Word, Word];
  if (words.size > 0) throw new Error(`not understood, "${[...words.keys()].join(" ")}": ${text}`);
  return {
    text,
    from,
    to,
    ...protocolOf(what, where, text),
    versions: v4.isThere ? [4] : v6.isThere ? [6] : [4, 6],
    ...(sourcePort.isThere && { sourcePort: Number(sourcePort.value) }),
    ...(source.isThere && { source: ip(source.value) }),
    ...(at.isThere && { at: ip(at.value) }),
    ...(arrives.isThere && { evidence: "arrival" as const }),
    unjudged: unjudged.isThere,
    expected: expected as Expected,
  };
}

interface Word {
  readonly isThere: boolean;
  readonly value: string;
}

function protocolOf(what: string, where: string | undefined, text: string) {
  if (what === "icmp") {
    const [type, code] = (where ?? "").split("/").map(Number);
    return {
      protocol: "icmp" as const,
      ...(where !== undefined && { icmp: { type: type as number, code: code ?? 0 } }),
    };
  }
  const protocol = what === "proto" ? Number(where) : parseProtocol(what);
  if (protocol === undefined) throw new Error(`no protocol "${what}": ${text}`);
  return { protocol, ...(what !== "proto" && where !== undefined && { port: Number(where) }) };
}
