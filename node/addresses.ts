/** Which addresses the node shall have, from what the operator said, what is stored and what the host has. */

import { cidrOf, contains, type InterfaceAddress, overlaps, parseInterfaceAddress } from "../net/cidr.ts";
import { type IpVersion, ipVersion } from "../net/ip.ts";
import {
  type Detected,
  type DetectionMethod,
  detectAddress,
  type HostInterface,
  holderOf,
  type Surroundings,
} from "./autodetect.ts";
import type { AddressSetting } from "./environment.ts";
import { NodeStartError, NodeStartErrorCode } from "./errors.ts";

export interface AddressQuestion {
  readonly version: IpVersion;
  readonly setting: AddressSetting;
  readonly detection: DetectionMethod;
  /** What the Node resource says. */
  readonly stored: InterfaceAddress | undefined;
  readonly interfaces: readonly HostInterface[];
  readonly surroundings: Surroundings;
}

export interface AddressAnswer {
  readonly address: InterfaceAddress | undefined;
  readonly warnings: readonly string[];
}

/** @throws NodeStartError NO_ADDRESS where autodetection was asked for, or IPv4 is needed, and finds nothing */
export async function chooseAddress(question: AddressQuestion): Promise<AddressAnswer> {
  const { version, setting, stored, interfaces } = question;
  switch (setting.kind) {
    case "none":
      return { address: undefined, warnings: [] };
    case "literal":
      return literal(setting.address, setting.bare, interfaces);
    case "unset":
      if (stored) return { address: stored, warnings: unlessHeld(stored, interfaces) };
      if (version === 6) return { address: undefined, warnings: [] };
      return { address: (await detect(question)).address, warnings: [] };
    case "autodetect":
      return { address: (await detect(question)).address, warnings: [] };
  }
}

/** Another node, as far as addresses go. */
export interface OtherNode {
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
}

/**
 * Nodes with our address, in words; and, as warnings, subnets that cut into ours: then one of the two has a wrong
 * prefix length, and CrossSubnet encapsulation will be wrong between them.
 */
export function findConflicts(
  own: readonly InterfaceAddress[],
  others: readonly OtherNode[],
): { readonly errors: NodeStartError[]; readonly warnings: string[] } {
  const errors: NodeStartError[] = [];
  const warnings: string[] = [];
  for (const { ip, prefixLength } of own) {
    const subnet = cidrOf(ip, prefixLength);
    for (const { name, addresses } of others) {
      for (const theirs of addresses) {
        if (ipVersion(theirs.ip) !== ipVersion(ip)) continue;
        const theirSubnet = cidrOf(theirs.ip, theirs.prefixLength);
        if (theirs.ip === ip) {
          errors.push(
            new NodeStartError(
              NodeStartErrorCode.AddressInUse,
              `node ${name} has our address ${ip}: two agents with one address cannot work; ` +
                "delete that node if it is gone, or set IP (DISABLE_NODE_IP_CHECK=true skips this check)",
              { ip, node: name },
            ),
          );
        } else if (theirSubnet !== subnet && overlaps(theirSubnet, subnet)) {
          warnings.push(
            `node ${name} is in ${theirSubnet}, which overlaps our ${subnet}: one prefix length is wrong`,
          );
        }
      }
    }
  }
  return { errors, warnings };
}

function literal(
  address: InterfaceAddress,
  bare: boolean,
  interfaces: readonly HostInterface[],
): AddressAnswer {
  const held = holderOf(address.ip, interfaces);
  if (!bare) return { address, warnings: unlessHeld(address, interfaces) };
  return { address: held?.address ?? address, warnings: unlessHeld(address, interfaces) };
}

function unlessHeld({ ip }: InterfaceAddress, interfaces: readonly HostInterface[]): string[] {
  return holderOf(ip, interfaces) ? [] : [`no interface of this host has the address ${ip}`];
}

async function detect(question: AddressQuestion): Promise<Detected> {
  const { version, detection, interfaces, surroundings } = question;
  const found = await detectAddress(version, detection, interfaces, surroundings);
  if (found) return found;
  const variable = version === 4 ? "IP" : "IP6";
  throw new NodeStartError(
    NodeStartErrorCode.NoAddress,
    `no IPv${version} address of this host was found by ${detection.kind}: ` +
      `set ${variable} to the address, or ${variable}_AUTODETECTION_METHOD to another way to find it`,
    { version, method: detection.kind, interfaces: interfaces.map(each => each.name) },
  );
}

/** Whether any of the host's networks has addresses in common with `block`. */
export function hostOverlaps(
  interfaces: readonly HostInterface[],
  block: ReturnType<typeof cidrOf>,
): boolean {
  return interfaces.some(({ addresses }) =>
    addresses.some(
      ({ ip, prefixLength }) => contains(block, ip) || overlaps(block, cidrOf(ip, prefixLength)),
    ),
  );
}

/** What a Node's `spec.bgp` address says; undefined where it says nothing readable. */
export function storedAddress(text: string | undefined): InterfaceAddress | undefined {
  return text ? parseInterfaceAddress(text) : undefined;
}
