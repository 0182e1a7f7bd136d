/** What the first node of a cluster creates, so that a cluster works before anybody configures it. */

import { randomBytes } from "node:crypto";
import type { FelixConfiguration, IPPool } from "../crd-schemas/index.ts";
import type { Draft } from "../datastore/client.ts";
import { type Cidr, cidr, cidrOf, cidrVersion, parseCidr } from "../net/cidr.ts";
import { bytesToIp, type IpVersion } from "../net/ip.ts";
import { hostOverlaps } from "./addresses.ts";
import type { HostInterface } from "./autodetect.ts";
import type { NodeEnvironment, PoolSettings } from "./environment.ts";

const DEFAULT_POOL_NAME = { 4: "default-ipv4-ippool", 6: "default-ipv6-ippool" } as const;

export interface PoolQuestion {
  readonly environment: NodeEnvironment;
  readonly existing: readonly IPPool[];
  readonly interfaces: readonly HostInterface[];
  /** Whether the kernel has IPv6 at all. */
  readonly ipv6: boolean;
  readonly randomBytes?: (count: number) => Uint8Array;
}

/** The pools to create: one for each family that has none. */
export function defaultPools(question: PoolQuestion): Draft<"IPPool">[] {
  const { environment, existing, interfaces } = question;
  if (!environment.defaultPools) return [];
  const families = new Set(
    existing.map(({ spec }) => cidrVersion(parseCidr(spec.cidr) ?? cidr("0.0.0.0/0"))),
  );
  const pools: Draft<"IPPool">[] = [];
  const { pool4, pool6 } = environment;
  if (!families.has(4) && pool4.cidr !== "none") {
    pools.push(pool(4, pool4, pool4.cidr ?? freeRange(interfaces)));
  }
  if (!families.has(6) && pool6.cidr !== "none" && question.ipv6) {
    pools.push(pool(6, pool6, pool6.cidr ?? randomUla(question.randomBytes ?? randomBytes)));
  }
  return pools;
}

/** 192.168.0.0/16; where the host itself has addresses in it, the first 172.x.0.0/16 where it has none. */
function freeRange(interfaces: readonly HostInterface[]): Cidr {
  const ranges = ["192.168.0.0/16", ...Array.from({ length: 16 }, (_, i) => `172.${16 + i}.0.0/16`)];
  return cidr(ranges.find(range => !hostOverlaps(interfaces, cidr(range))) ?? ranges[0]!);
}

/** RFC 4193: fd, and 40 bits that nobody else has. */
function randomUla(random: (count: number) => Uint8Array): Cidr {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(random(5), 1);
  return cidrOf(bytesToIp(bytes), 48);
}

function pool(version: IpVersion, settings: PoolSettings, range: Cidr): Draft<"IPPool"> {
  return {
    kind: "IPPool",
    metadata: { name: DEFAULT_POOL_NAME[version] },
    spec: {
      cidr: range,
      blockSize: settings.blockSize,
      ipipMode: settings.ipip,
      vxlanMode: settings.vxlan,
      natOutgoing: settings.natOutgoing,
      nodeSelector: settings.nodeSelector,
      ...(settings.disableBgpExport && { disableBGPExport: true }),
    },
  };
}

/** Calico's: no usage reports by default, and what a workload sends to its host is up to the host's own rules. */
export function defaultFelixConfigurations(node: string): Draft<"FelixConfiguration">[] {
  const draft = (name: string, spec: FelixConfiguration["spec"]): Draft<"FelixConfiguration"> => ({
    kind: "FelixConfiguration",
    metadata: { name },
    spec,
  });
  return [
    draft("default", { reportingInterval: "0s", logSeverityScreen: "Info" }),
    draft(`node.${node}`, { defaultEndpointToHostAction: "Return" }),
  ];
}
