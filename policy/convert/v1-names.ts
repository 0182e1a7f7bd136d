/**
 * What names of the v1 model become in v3, where only DNS-like names are allowed.
 *
 * A name that has to change gets eight digits of its SHA-1 at the end, so that `cal_net1` and `cal.net1` stay
 * two things. Every program that meets a v1 name must use these functions: a user who writes profile `cal_web`
 * means the network he created as `cal_web`, which is profile `cal-web-<hash>` to everyone.
 */

import { createHash } from "node:crypto";
import { type Ip, ipToBytes, ipVersion } from "../../net/ip.ts";

/** Names of profiles (and so of networks), host endpoints and everything without a rule of its own. */
export function v1Name(name: string): string {
  return distinct(name, normalised(name));
}

/** The profile of a network or of a v1 profile document; Kubernetes namespaces had names of their own. */
export function v1ProfileName(name: string): string {
  return name.startsWith("k8s_ns.") ? `kns.${name.slice("k8s_ns.".length)}` : v1Name(name);
}

/** Names of policies, which may have no dots. */
export function v1PolicyName(name: string): string {
  return distinct(name, normalised(name).replaceAll(".", "-"));
}

/** Names of nodes are what hosts call themselves: no hash is added. */
export function v1NodeName(name: string): string {
  return normalised(name);
}

/** `10-65-0-0-16` */
export function v1PoolName(block: string): string {
  return block.replaceAll(/[.:/]/g, "-");
}

/** `10-0-0-1`; IPv6 in full, `fd00-0000-...-0001`, so that no dash stands at the end or beside another. */
export function v1PeerName(address: Ip): string {
  if (ipVersion(address) === 4) return address.replaceAll(".", "-");
  const hex = Buffer.from(ipToBytes(address)).toString("hex");
  return hex.match(/.{4}/g)!.join("-");
}

function normalised(name: string): string {
  return name
    .toLowerCase()
    .replaceAll("/", ".")
    .replaceAll(/[^-.a-z0-9]+/g, "-")
    .replaceAll(/[-.]*\.[-.]*/g, ".")
    .replaceAll(/^[-.]+|[-.]+$/g, "");
}

function distinct(original: string, changed: string): string {
  if (changed === original) return changed;
  const hash = createHash("sha1").update(original).digest("hex").slice(0, 8);
  return changed === "" ? hash : `${changed}-${hash}`;
}
