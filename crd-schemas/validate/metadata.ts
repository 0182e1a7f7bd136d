/** Names and namespaces: which a kind may have, and that they are there. */

import type { Resource } from "../generated/types.ts";
import { kindInfo } from "../kinds.ts";
import type { Report } from "../problem.ts";

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const SUBDOMAIN_WORDS =
  'at most 253 lower-case letters, digits, "-" and ".", beginning and ending with a letter or digit';

export function isSubdomain(name: string): boolean {
  return name.length <= 253 && SUBDOMAIN.test(name);
}

export function checkMetadata(resource: Resource, report: Report): void {
  const { name, namespace } = resource.metadata;
  const info = kindInfo(resource.kind);
  if (!isSubdomain(name))
    report(["metadata", "name"], `invalid name ${JSON.stringify(name)}`, SUBDOMAIN_WORDS);
  if (info.namespaced && !namespace) {
    report(["metadata", "namespace"], `a ${resource.kind} needs a namespace`, "the name of a namespace");
  }
  if (!info.namespaced && namespace) {
    report(["metadata", "namespace"], `a ${resource.kind} is in no namespace`, "no namespace");
  }
}
