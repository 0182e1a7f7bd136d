/** Workload endpoints: single addresses, and a name that says who the workload is. */

import { hostCidr, parseCidr } from "../../net/cidr.ts";
import { ip } from "../../net/ip.ts";
import type { QoSControls, WorkloadEndpoint } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { unnameableField, workloadEndpointName } from "../workload-endpoint-name.ts";
import { checkEndpointPorts } from "./endpoint-port.ts";
import { checkVersion, versionOf } from "./families.ts";
import { isInterfaceName } from "./names.ts";

export function checkWorkloadEndpoint({ metadata, spec }: WorkloadEndpoint, report: Report): void {
  const missing = unnameableField(spec);
  const name = workloadEndpointName(spec);
  if (missing !== undefined) {
    const words = "text without a dash at either end";
    report(
      ["spec", missing],
      `a workload endpoint is named after its ${missing}, which is missing or invalid`,
      words,
    );
  } else if (metadata.name !== name) {
    report(
      ["metadata", "name"],
      `the name of this workload endpoint is "${name}", not "${metadata.name}"`,
      name!,
    );
  }
  for (const [i, network] of (spec.ipNetworks ?? []).entries()) {
    const single = versionOf(network) === 4 ? "/32" : "/128";
    if (network.includes("/") && !network.endsWith(single)) {
      report(["spec", "ipNetworks", i], `"${network}" is more than one address`, `a block of one, ${single}`);
    }
  }
  checkNats(spec, report);
  checkVersion(spec.ipv4Gateway, 4, ["spec", "ipv4Gateway"], report);
  checkVersion(spec.ipv6Gateway, 6, ["spec", "ipv6Gateway"], report);
  if (spec.interfaceName && !isInterfaceName(spec.interfaceName)) {
    report(["spec", "interfaceName"], `"${spec.interfaceName}" is not an interface`, "an interface's name");
  }
  checkEndpointPorts(spec.ports ?? [], ["spec", "ports"], report);
  if (spec.qosControls) checkQoS(spec.qosControls, report);
}

function checkNats({ ipNATs, ipNetworks }: WorkloadEndpoint["spec"], report: Report): void {
  const own = new Set((ipNetworks ?? []).map(network => parseCidr(network)));
  for (const [i, { internalIP, externalIP }] of (ipNATs ?? []).entries()) {
    const path = ["spec", "ipNATs", i];
    for (const [field, text] of Object.entries({ internalIP, externalIP })) {
      if (text === "") report([...path, field], `${field} is empty`, "an IP address");
    }
    if (internalIP === "" || externalIP === "") continue;
    if (!own.has(hostCidr(ip(internalIP)))) {
      report(
        [...path, "internalIP"],
        `${internalIP} is not an address of the workload`,
        "an address of ipNetworks",
      );
    }
    if (versionOf(internalIP) !== versionOf(externalIP)) {
      const version = versionOf(internalIP);
      report(
        [...path, "externalIP"],
        `${externalIP} is not IPv${version} as ${internalIP} is`,
        `an IPv${version} address`,
      );
    }
  }
}

/** Bursts and peaks shape a rate; without the rate they say nothing. */
function checkQoS(qos: QoSControls, report: Report): void {
  for (const direction of ["ingress", "egress"] as const) {
    const needs = (field: keyof QoSControls, rate: keyof QoSControls): void => {
      if (qos[field] !== undefined && qos[rate] === undefined) {
        report(["spec", "qosControls", field], `${field} needs ${rate}`, rate);
      }
    };
    needs(`${direction}Burst`, `${direction}Bandwidth`);
    needs(`${direction}Peakrate`, `${direction}Bandwidth`);
    needs(`${direction}Minburst`, `${direction}Peakrate`);
    needs(`${direction}PacketBurst`, `${direction}PacketRate`);
    const bandwidth = qos[`${direction}Bandwidth`];
    const peak = qos[`${direction}Peakrate`];
    if (bandwidth !== undefined && peak !== undefined && peak <= bandwidth) {
      report(
        ["spec", "qosControls", `${direction}Peakrate`],
        "the peak rate is not above the bandwidth",
        `more than ${bandwidth}`,
      );
    }
  }
}
