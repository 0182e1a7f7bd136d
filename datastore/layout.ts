/**
 * Where a key lives in a flat store: exactly where Calico puts it in etcd, so that `calicoctl` and Calico's own
 * nodes find it. Resources are at `/calico/resources/v3/projectcalico.org/<plural>/[<namespace>/]<name>`, IPAM
 * records below `/calico/ipam/v2/`, where a CIDR's `/` is written `-`.
 *
 * Paths that do not parse belong to somebody else (historic host markers, newer kinds) and are skipped.
 */

import { KINDS } from "../crd-schemas/kinds.ts";
import { DatastoreError, DatastoreErrorCode } from "./errors.ts";
import {
  IPAM_KINDS,
  type IpamKind,
  type Key,
  type Kind,
  KUBERNETES_KINDS,
  type KubernetesKind,
  key,
  type Query,
} from "./key.ts";
import { type PathRange, prefixRange } from "./key-value-store.ts";

export const ROOT = "/calico/";

const RESOURCES = `${ROOT}resources/v3/projectcalico.org/`;
const IPAM = `${ROOT}ipam/v2/`;

export function isNamespaced(kind: Kind): boolean {
  return isKubernetesKind(kind) || (!isIpamKind(kind) && KINDS[kind].namespaced);
}

export function isIpamKind(kind: Kind): kind is IpamKind {
  return (IPAM_KINDS as readonly string[]).includes(kind);
}

export function isKubernetesKind(kind: Kind): kind is KubernetesKind {
  return (KUBERNETES_KINDS as readonly string[]).includes(kind);
}

/** Where the resources of a kind are. */
function folderOf(kind: Exclude<Kind, IpamKind>): string {
  return `${RESOURCES}${isKubernetesKind(kind) ? `${kind.toLowerCase()}s` : KINDS[kind].plural}/`;
}

/** @throws DatastoreError NotSupported for a key that has no place, such as a name with a slash. */
export function pathOf(k: Key): string {
  switch (k.kind) {
    case "IPAMConfig":
      return `${IPAM}config`;
    case "IPAMHandle":
      return `${IPAM}handle/${segment(k, k.name)}`;
    case "IPAMBlock":
      return `${IPAM}assignment/${cidrPath(k)}`;
    case "BlockAffinity":
      return `${IPAM}${ownerPath(k, k.namespace)}/${cidrPath(k)}`;
    default: {
      const folder = folderOf(k.kind);
      if (isNamespaced(k.kind) !== (k.namespace !== undefined)) {
        throw unplaceable(k, k.namespace === undefined ? "a namespace is required" : "has no namespaces");
      }
      return k.namespace === undefined
        ? folder + segment(k, k.name)
        : `${folder}${segment(k, k.namespace)}/${segment(k, k.name)}`;
    }
  }
}

/** The key stored at a path that was found in a query for `kind`; undefined if it is none of that kind. */
export function keyAt<K extends Kind>(kind: K, path: string): Key<K> | undefined {
  switch (kind) {
    case "IPAMConfig":
      return path === `${IPAM}config` ? key(kind, "default") : undefined;
    case "IPAMHandle": {
      const id = after(`${IPAM}handle/`, path);
      return id && !id.includes("/") ? key(kind, id) : undefined;
    }
    case "IPAMBlock": {
      const rest = after(`${IPAM}assignment/`, path);
      const block = rest === undefined ? undefined : cidrAt(rest);
      return block === undefined ? undefined : key(kind, block);
    }
    case "BlockAffinity": {
      const match = /^(host|virtual)\/([^/]+)\/(.+)$/.exec(after(IPAM, path) ?? "");
      const block = match ? cidrAt(match[3]!) : undefined;
      return match && block !== undefined ? key(kind, block, `${match[1]}:${match[2]}`) : undefined;
    }
    default: {
      const rest = after(folderOf(kind), path);
      if (!rest) return undefined;
      const slash = rest.indexOf("/");
      if (!isNamespaced(kind)) return slash < 0 ? key(kind, rest) : undefined;
      const name = rest.slice(slash + 1);
      return slash > 0 && name !== "" && !name.includes("/")
        ? key(kind, name, rest.slice(0, slash))
        : undefined;
    }
  }
}

/** A range that holds every path the query can mean, and few others (so results are matched once more). */
export function rangeOf(query: Query): PathRange {
  const { kind, namespace, namePrefix = "" } = query;
  switch (kind) {
    case "IPAMConfig":
      return prefixRange(`${IPAM}config`);
    case "IPAMHandle":
      return prefixRange(`${IPAM}handle/${namePrefix}`);
    case "IPAMBlock":
      return prefixRange(`${IPAM}assignment/`);
    case "BlockAffinity":
      if (namespace !== undefined) return prefixRange(`${IPAM}${ownerPath({ kind, name: "" }, namespace)}/`);
      // Of all that is below ipam/v2/, exactly `host/` and `virtual/` sort between these two.
      return { start: `${IPAM}host/`, end: prefixRange(`${IPAM}virtual/`).end };
    default: {
      const folder = folderOf(kind);
      if (!isNamespaced(kind)) return prefixRange(folder + namePrefix);
      return prefixRange(namespace === undefined ? folder : `${folder}${namespace}/${namePrefix}`);
    }
  }
}

function after(prefix: string, path: string): string | undefined {
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}

/** `host:node1` -> `host/node1`. */
function ownerPath(k: Key, owner: string | undefined): string {
  const match = /^(host|virtual):([^/]+)$/.exec(owner ?? "");
  if (!match) throw unplaceable(k, `the owner must be host:<node> or virtual:<name>, not ${owner}`);
  return `${match[1]}/${match[2]}`;
}

/** `10.65.0.0/26` -> `ipv4/block/10.65.0.0-26`. */
function cidrPath(k: Key): string {
  if (!/^[0-9a-f.:]+\/\d+$/.test(k.name)) throw unplaceable(k, "the name must be a CIDR");
  return `${k.name.includes(":") ? "ipv6" : "ipv4"}/block/${k.name.replace("/", "-")}`;
}

function cidrAt(rest: string): string | undefined {
  const match = /^ipv[46]\/block\/([0-9a-f.:]+)-(\d+)$/.exec(rest);
  return match ? `${match[1]}/${match[2]}` : undefined;
}

function segment(k: Key, text: string): string {
  if (text === "" || text.includes("/")) {
    throw unplaceable(k, text === "" ? "the name is empty" : `a name cannot contain "/"`);
  }
  return text;
}

function unplaceable(k: Key, message: string): DatastoreError {
  return new DatastoreError(DatastoreErrorCode.NotSupported, { key: k, message });
}
