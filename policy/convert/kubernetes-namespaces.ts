/**
 * Namespaces and service accounts as profiles: through them their labels reach the pods, under prefixes of their own. The
 * namespace's profile also leaves pods open until a policy applies, which is how Kubernetes wants it.
 */

import { API_VERSION, type Profile } from "../../crd-schemas/index.ts";
import { NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "../resolve.ts";

type Labels = Readonly<Record<string, string>>;

export interface KubernetesNamespace {
  readonly metadata: { readonly name: string; readonly labels?: Labels };
}

export interface KubernetesServiceAccount {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Labels };
}

export function namespaceProfileName(namespace: string): string {
  return `kns.${namespace}`;
}

export function serviceAccountProfileName(namespace: string, name: string): string {
  return `ksa.${namespace}.${name}`;
}

export function convertNamespace({ metadata: { name, labels } }: KubernetesNamespace): Profile {
  return {
    apiVersion: API_VERSION,
    kind: "Profile",
    metadata: { name: namespaceProfileName(name) },
    spec: {
      ingress: [{ action: "Allow" }],
      egress: [{ action: "Allow" }],
      labelsToApply: prefixed(labels, NAMESPACE_PREFIX, name),
    },
  };
}

export function convertServiceAccount({
  metadata: { name, namespace, labels },
}: KubernetesServiceAccount): Profile {
  return {
    apiVersion: API_VERSION,
    kind: "Profile",
    metadata: { name: serviceAccountProfileName(namespace ?? "default", name) },
    spec: { labelsToApply: prefixed(labels, SERVICE_ACCOUNT_PREFIX, name) },
  };
}

function prefixed(labels: Labels | undefined, prefix: string, name: string): Record<string, string> {
  const own = Object.entries(labels ?? {}).map(([key, value]) => [prefix + key, value]);
  return { ...Object.fromEntries(own), [`${prefix}projectcalico.org/name`]: name };
}
