/** Recorded states of clusters, with what upstream expects of each probe (../shared/conformance/README.md). */

import { readFileSync } from "node:fs";
import { type Protocol, parseProtocol } from "../../crd-schemas/index.ts";
import { type Ip, parseIp } from "../../net/ip.ts";
import type { Verdict } from "../probe.ts";
import { LabError, LabErrorCode } from "../state.ts";

export type Labels = Readonly<Record<string, string>>;

export interface RecordedPort {
  readonly name?: string;
  readonly port: number;
  readonly protocol: string;
}

export interface RecordedPod {
  readonly ns: string;
  readonly name: string;
  readonly labels: Labels;
  readonly ip: Ip;
  readonly ports: readonly RecordedPort[];
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  /** Of the node it is on. */
  readonly nodeLabels?: Labels;
}

export interface RecordedProbe {
  /** `namespace/pod` */
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly expect: Verdict;
}

export interface RecordedCase {
  readonly name: string;
  readonly namespaces: readonly { readonly name: string; readonly labels?: Labels }[];
  readonly pods: readonly RecordedPod[];
  /** Kubernetes objects. */
  readonly objects: readonly unknown[];
  readonly probes: readonly RecordedProbe[];
}

/** @throws LabError INVALID_INPUT with file, place and what was expected */
export function readCases(file: string): RecordedCase[] {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new LabError(LabErrorCode.InvalidInput, `${file}: ${(error as Error).message}`);
  }
  const list = Array.isArray(content) ? content : [content];
  return list.map((item, i) => readCase(item, `${file}: [${i}]`));
}

/** The case of this name, all states of the test of this name, or all whose name holds the text. @throws LabError NOT_FOUND */
export function chooseCases(cases: readonly RecordedCase[], text: string | undefined): RecordedCase[] {
  if (text === undefined) return [...cases];
  for (const isMeant of [
    (name: string) => name === text,
    (name: string) => testOf(name) === text,
    (name: string) => name.includes(text),
  ]) {
    const meant = cases.filter(({ name }) => isMeant(name));
    if (meant.length > 0) return meant;
  }
  throw new LabError(LabErrorCode.NotFound, `no case "${text}" among ${cases.length}`);
}

/** States of one test are called after it, with `[step 2/3]` or `[step 2]` behind. */
export function testOf(name: string): string {
  return name.replace(/ \[step \d+(\/\d+)?\]$/, "");
}

function readCase(item: unknown, where: string): RecordedCase {
  const state = object(item, where);
  const name = text(state["name"], `${where}.name`);
  const namespaces = list(state["namespaces"], `${where}.namespaces`).map((each, i) => {
    const namespace = object(each, `${where}.namespaces[${i}]`);
    return {
      name: text(namespace["name"], `${where}.namespaces[${i}].name`),
      labels: (namespace["labels"] ?? {}) as Labels,
    };
  });
  const pods = list(state["pods"], `${where}.pods`).map((pod, i) => readPod(pod, `${where}.pods[${i}]`));
  const known = new Set(pods.map(pod => `${pod.ns}/${pod.name}`));
  const probes = list(state["probes"], `${where}.probes`).map((probe, i) =>
    readProbe(probe, known, `${where}.probes[${i}]`),
  );
  return { name, namespaces, pods, objects: list(state["objects"] ?? [], `${where}.objects`), probes };
}

function readPod(item: unknown, where: string): RecordedPod {
  const pod = object(item, where);
  const ip = parseIp(String(pod["ip"]));
  if (ip === undefined) refuse(`${where}.ip`, "an IP address");
  return {
    ...(pod as unknown as RecordedPod),
    ns: text(pod["ns"], `${where}.ns`),
    name: text(pod["name"], `${where}.name`),
    labels: (pod["labels"] ?? {}) as Labels,
    ip: ip as Ip,
    ports: list(pod["ports"] ?? [], `${where}.ports`) as RecordedPort[],
  };
}

function readProbe(item: unknown, pods: ReadonlySet<string>, where: string): RecordedProbe {
  const probe = object(item, where);
  const end = (field: "from" | "to") => {
    const name = text(probe[field], `${where}.${field}`);
    return pods.has(name) ? name : refuse(`${where}.${field}`, "namespace/pod of a pod of the case");
  };
  const protocol = parseProtocol(probe["protocol"] as string);
  const expect = probe["expect"];
  return {
    from: end("from"),
    to: end("to"),
    port: Number(probe["port"]),
    protocol: protocol ?? refuse(`${where}.protocol`, "a protocol's name or number"),
    expect: expect === "allow" || expect === "deny" ? expect : refuse(`${where}.expect`, "allow or deny"),
  };
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(where, "an object");
  return value as Record<string, unknown>;
}

function list(value: unknown, where: string): unknown[] {
  return Array.isArray(value) ? value : refuse(where, "a list");
}

function text(value: unknown, where: string): string {
  return typeof value === "string" && value !== "" ? value : refuse(where, "text");
}

function refuse(where: string, expected: string): never {
  throw new LabError(LabErrorCode.InvalidInput, `${where}: expected ${expected}`);
}
