/** The agent's parameters: scope, and ranges that a schema cannot compare. */

import type { FelixConfiguration } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { protocolHasPorts } from "../scalars.ts";
import { checkVersion } from "./families.ts";

export function checkFelixConfiguration({ metadata, spec }: FelixConfiguration, report: Report): void {
  if (spec.nodeSelector !== undefined && (metadata.name === "default" || metadata.name.startsWith("node."))) {
    const message = `the name "${metadata.name}" already says which nodes are meant`;
    report(["spec", "nodeSelector"], message, "another name, or no nodeSelector");
  }
  checkVersion(spec.natOutgoingAddress, 4, ["spec", "natOutgoingAddress"], report);
  checkVersion(spec.deviceRouteSourceAddress, 4, ["spec", "deviceRouteSourceAddress"], report);
  checkVersion(spec.deviceRouteSourceAddressIPv6, 6, ["spec", "deviceRouteSourceAddressIPv6"], report);
  for (const field of ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] as const) {
    for (const [i, { protocol }] of (spec[field] ?? []).entries()) {
      if (protocol !== undefined && !protocolHasPorts(protocol)) {
        report(["spec", field, i, "protocol"], `${protocol} has no ports`, "TCP, UDP or SCTP");
      }
    }
  }
  if (spec.routeTableRange && spec.routeTableRanges) {
    report(
      ["spec", "routeTableRange"],
      "routeTableRange and routeTableRanges exclude each other",
      "routeTableRanges",
    );
  }
  const ranges = [
    { range: spec.routeTableRange, path: ["spec", "routeTableRange"] },
    ...(spec.routeTableRanges ?? []).map((range, i) => ({ range, path: ["spec", "routeTableRanges", i] })),
  ];
  for (const { range, path } of ranges) {
    if (range && range.min > range.max)
      report([...path, "min"], `min ${range.min} is above max ${range.max}`, `${range.max} or less`);
  }
  if (spec.logActionRateLimit && !/^[1-9]\d{0,3}\/(second|minute|hour|day)$/.test(spec.logActionRateLimit)) {
    report(
      ["spec", "logActionRateLimit"],
      `"${spec.logActionRateLimit}" is not a rate`,
      "a rate such as 10/second or 100/hour",
    );
  }
}
