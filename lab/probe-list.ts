/** `calctl lab probe`: a list of connections, all tried at once. */

import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import type { Lab } from "./lab.ts";
import { PROBE_PROTOCOLS, type ProbeProtocol, probe, type Verdict } from "./probe.ts";
import { LabError, LabErrorCode } from "./state.ts";
import { table } from "./table.ts";

/** One item of the list. */
export interface ProbeRequest {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: ProbeProtocol;
  readonly expect?: Verdict;
}

export interface ProbeResult extends ProbeRequest {
  readonly observed: Verdict;
  readonly ms: number;
}

/** All at once; each connection has its own socket in its own namespace. */
export async function runProbes(
  lab: Lab,
  requests: readonly ProbeRequest[],
  timeoutMs: number,
): Promise<ProbeResult[]> {
  return Promise.all(
    requests.map(async request => {
      const begun = performance.now();
      const observed = await probe({
        namespace: lab.namespaceOf(request.from),
        address: lab.addressOf(request.to),
        port: request.port,
        protocol: request.protocol ?? "TCP",
        timeoutMs,
      });
      return { ...request, observed, ms: Math.round(performance.now() - begun) };
    }),
  );
}

/** `file`: JSON or YAML; `-` is standard input. @throws LabError where it is not a list of probes */
export async function readProbes(
  file: string,
  stdin: AsyncIterable<string | Uint8Array>,
): Promise<ProbeRequest[]> {
  let text = "";
  if (file === "-") for await (const chunk of stdin) text += chunk.toString();
  else text = readFileSync(file, "utf8");
  const refuse = (where: string, expected: string): never => {
    throw new LabError(LabErrorCode.InvalidInput, `${file}: ${where}: expected ${expected}`);
  };
  const document = parseDocument(text, { prettyErrors: false });
  const [mistake] = document.errors;
  if (mistake) {
    const before = text.slice(0, mistake.pos[0]).split("\n");
    throw new LabError(
      LabErrorCode.InvalidInput,
      `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}: ${mistake.message}`,
    );
  }
  const list: unknown = document.toJS();
  if (!Array.isArray(list))
    return refuse("top level", 'a list of {"from", "to", "port", "protocol", "expect"}');
  return list.map((item: Record<string, unknown>, i) => {
    const where = `[${i}]`;
    if (typeof item?.["from"] !== "string") refuse(`${where}.from`, "the name of a workload or host");
    if (typeof item["to"] !== "string")
      refuse(`${where}.to`, "the name of a workload or host, or an address");
    const protocol = String(item["protocol"] ?? "TCP").toUpperCase() as ProbeProtocol;
    if (!PROBE_PROTOCOLS.includes(protocol)) refuse(`${where}.protocol`, PROBE_PROTOCOLS.join(", "));
    if (protocol !== "ICMP" && !(Number(item["port"]) >= 1 && Number(item["port"]) <= 65535))
      refuse(`${where}.port`, "1 to 65535");
    const expect = item["expect"];
    if (expect !== undefined && expect !== "allow" && expect !== "deny")
      refuse(`${where}.expect`, "allow or deny");
    return { ...item, protocol } as ProbeRequest;
  });
}

export function probeTable(results: readonly ProbeResult[]): string {
  return table(
    ["FROM", "TO", "PROTOCOL", "PORT", "EXPECT", "OBSERVED", "MS"],
    results.map(r => [
      r.from,
      r.to,
      r.protocol ?? "TCP",
      String(r.port ?? ""),
      r.expect ?? "",
      r.observed,
      String(r.ms),
    ]),
  );
}
