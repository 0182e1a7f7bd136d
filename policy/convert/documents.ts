/**
 * Documents of any kind that says something about policy, as v3 resources: v3 itself, v1, and Kubernetes' own objects as
 * they are written in files or read from a cluster. Nothing is swallowed: what is not understood, left out or replaced
 * is a problem with the document's place in the list.
 *
 * Some things follow from several documents: a pod needs its namespace's profile whether or not the namespace is
 * there, a service has the pods it selects where nobody lists its endpoints. That is done when all have been read.
 */

import {
  isKind,
  KINDS,
  type Path,
  type Problem,
  type Resource,
  type Rule,
  validateResource,
} from "../../crd-schemas/index.ts";
import type { Ip } from "../../net/ip.ts";
import { asksForHttp } from "../resolve.ts";
import { selectorProblem } from "../selector/index.ts";
import { Fields, isMapping } from "./fields.ts";
import { convertNetworkPolicy, type RuleOrigins, readNetworkPolicy } from "./kubernetes.ts";
import { convertClusterPolicy, isClusterPolicyKind } from "./kubernetes-cluster-policies.ts";
import { convertNamespace, convertServiceAccount } from "./kubernetes-namespaces.ts";
import { type KubernetesNode, nodeNetworkSet, nodeResource, readNode } from "./kubernetes-nodes.ts";
import { type KubernetesPod, podEndpoint, readPod } from "./kubernetes-pods.ts";
import {
  type KubernetesService,
  readEndpointSlice,
  readService,
  type ServiceAddress,
  serviceAddresses,
} from "./kubernetes-services.ts";
import { MadeUpAddresses } from "./made-up-addresses.ts";
import { convertV1, isV1Document, isV1Kind } from "./v1.ts";

export interface DocumentProblem extends Problem {
  /** The document's place in the list. */
  readonly document: number;
  /**
   * `unknown-kind`: nothing here knows what it is. `invalid`: it is refused as a whole. `left-out`: it counts, but for
   * the part that the path names.
   */
  readonly kind: "unknown-kind" | "invalid" | "left-out";
}

export interface ConvertedResource {
  readonly resource: Resource;
  /** Undefined for what no document says, such as the namespace of a pod. */
  readonly document: number | undefined;
  /** Of a policy that was written in another form. */
  readonly origins?: RuleOrigins;
}

/** A pod on its host's network: a name for the host. */
export interface HostPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | undefined;
  readonly addresses: readonly Ip[];
  readonly ports: KubernetesPod["ports"];
}

export interface ConvertedDocuments {
  readonly resources: readonly ConvertedResource[];
  /** What stands behind services, by `namespace/name`. */
  readonly services: ReadonlyMap<string, readonly ServiceAddress[]>;
  readonly hostPods: readonly HostPod[];
  readonly problems: readonly DocumentProblem[];
}

export interface DocumentOptions {
  /** Of v3 resources: `keep` for those from a datastore, where a newer Calico may have stored more. Default `error`. */
  readonly unknownFields?: "error" | "keep";
}

/** Lists are for the caller to take apart. What is namespaced and names no namespace is in `default`. */
export function convertDocuments(
  documents: readonly unknown[],
  options: DocumentOptions = {},
): ConvertedDocuments {
  const conversion = new Conversion(options);
  for (const [i, document] of documents.entries()) conversion.add(document, i);
  return conversion.finish();
}

const KUBERNETES_KINDS = [
  "v1 Pod, Namespace, Node, ServiceAccount, Service",
  "discovery.k8s.io/v1 EndpointSlice",
  "networking.k8s.io/v1 NetworkPolicy",
  "policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy",
  "policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy, BaselineAdminNetworkPolicy",
].join("; ");

class Conversion {
  readonly #resources = new Map<string, ConvertedResource>();
  readonly #problems: DocumentProblem[] = [];
  readonly #pods: { readonly pod: KubernetesPod; readonly document: number }[] = [];
  readonly #nodes = new Map<string, KubernetesNode>();
  readonly #services: KubernetesService[] = [];
  readonly #behindServices = new Map<string, ServiceAddress[]>();
  readonly #options: DocumentOptions;

  constructor(options: DocumentOptions) {
    this.#options = options;
  }

  add(document: unknown, place: number): void {
    if (!isMapping(document)) {
      this.#report(place, "invalid", {
        path: [],
        message: "the document is no object",
        expected: "a mapping with apiVersion, kind, metadata and spec",
      });
      return;
    }
    const { apiVersion, kind } = document;
    if (typeof apiVersion !== "string" || typeof kind !== "string") {
      const missing = typeof apiVersion === "string" ? "kind" : "apiVersion";
      this.#report(place, "invalid", { path: [missing], message: "is missing", expected: "text" });
      return;
    }
    const [group] = apiVersion.split("/");
    if (apiVersion === "v1" && this.#addCore(document, kind, place)) return;
    if (group === "discovery.k8s.io" && kind === "EndpointSlice") this.#addSlice(document, place);
    else if (group === "networking.k8s.io" && kind === "NetworkPolicy")
      this.#addNetworkPolicy(document, place);
    else if (group === "policy.networking.k8s.io" && isClusterPolicyKind(kind))
      this.#addClusterPolicy(document, kind, place);
    else if (group === "projectcalico.org" || (isV1Document(document) && isV1Kind(kind)))
      this.#addCalico(document, place);
    else
      this.#report(place, "unknown-kind", {
        path: ["kind"],
        message: `there is no policy in ${apiVersion} ${kind}`,
        expected: `projectcalico.org/v3, Calico's v1, or of Kubernetes ${KUBERNETES_KINDS}`,
      });
  }

  finish(): ConvertedDocuments {
    const hostPods: HostPod[] = [];
    const addressesOf = new Map<KubernetesPod, readonly Ip[]>();
    const madeUp = new MadeUpAddresses(this.#pods.flatMap(({ pod }) => pod.addresses));
    for (const { pod, document } of this.#pods) {
      if (pod.finished) continue;
      const addresses = pod.hostNetwork ? this.#hostAddresses(pod, madeUp) : ownAddresses(pod, madeUp);
      addressesOf.set(pod, addresses);
      this.#addImplied(pod);
      if (pod.hostNetwork) hostPods.push({ ...pod, addresses });
      else this.#put(podEndpoint(pod, addresses), document);
    }
    const pods = [...addressesOf.keys()];
    for (const service of this.#services) {
      const name = `${service.namespace}/${service.name}`;
      if (this.#behindServices.has(name)) continue;
      const found = serviceAddresses(service, pods, pod => addressesOf.get(pod) ?? []);
      if (found.length > 0) this.#behindServices.set(name, found);
    }
    return {
      resources: [...this.#resources.values()],
      services: this.#behindServices,
      hostPods,
      problems: this.#problems,
    };
  }

  /** Whether the kind is one of Kubernetes' core group; v1 documents of Calico share its version, but not its kinds. */
  #addCore(document: Record<string, unknown>, kind: unknown, place: number): boolean {
    switch (kind) {
      case "Pod": {
        const pod = this.#read(document, place, readPod);
        if (pod) this.#pods.push({ pod, document: place });
        return true;
      }
      case "Namespace":
        this.#addNamed(document, place, (name, labels) =>
          convertNamespace({
            metadata: { name, labels: { "kubernetes.io/metadata.name": name, ...labels } },
          }),
        );
        return true;
      case "ServiceAccount":
        this.#addNamed(document, place, (name, labels, namespace) =>
          convertServiceAccount({ metadata: { name, namespace, labels } }),
        );
        return true;
      case "Node": {
        const node = this.#read(document, place, fields =>
          readNode(fields.object("metadata"), fields.object("status")),
        );
        if (node) this.#putNode(node, place);
        return true;
      }
      case "Service": {
        const service = this.#read(document, place, readService);
        if (service) this.#services.push(service);
        return true;
      }
      default:
        return false;
    }
  }

  #addNamed(
    document: Record<string, unknown>,
    place: number,
    convert: (name: string, labels: Record<string, string>, namespace: string) => Resource,
  ): void {
    const resource = this.#read(document, place, fields => {
      const metadata = fields.object("metadata");
      const name = metadata.requiredName("name") ?? "";
      return convert(name, metadata.texts("labels") ?? {}, metadata.string("namespace") ?? "default");
    });
    if (resource) this.#put(resource, place);
  }

  #addSlice(document: Record<string, unknown>, place: number): void {
    const slice = this.#read(document, place, readEndpointSlice);
    if (!slice) return;
    const name = `${slice.namespace}/${slice.service}`;
    const known = this.#behindServices.get(name) ?? [];
    this.#behindServices.set(name, [...known, ...slice.addresses]);
  }

  #addNetworkPolicy(document: Record<string, unknown>, place: number): void {
    const read = readNetworkPolicy(document);
    if (read.problems) {
      this.#reportAll(place, "invalid", read.problems);
      return;
    }
    const { policy, origins, problems } = convertNetworkPolicy(read.policy);
    this.#reportAll(place, "left-out", problems);
    this.#put(policy, place, origins);
  }

  #addClusterPolicy(
    document: Record<string, unknown>,
    kind: Parameters<typeof convertClusterPolicy>[0],
    place: number,
  ): void {
    const converted = convertClusterPolicy(kind, document);
    this.#reportAll(place, converted.policy ? "left-out" : "invalid", converted.problems);
    if (converted.policy) this.#put(converted.policy, place, converted.origins);
  }

  #addCalico(document: Record<string, unknown>, place: number): void {
    let resource: unknown = document;
    if (isV1Document(document)) {
      const converted = convertV1(document);
      if (converted.problems) {
        this.#reportAll(place, "invalid", converted.problems);
        return;
      }
      resource = converted.resource;
    }
    const { problems, resource: valid } = validateResource(inNamespace(resource as Record<string, unknown>), {
      parseSelector: selectorProblem,
      ...this.#options,
    });
    if (problems) {
      this.#reportAll(place, "invalid", problems);
      return;
    }
    this.#put(valid, place);
    for (const path of httpRules(valid))
      this.#report(place, "left-out", {
        path,
        message: "requests are not looked into: the rule matches nothing",
        expected: "criteria on packets",
      });
  }

  /** The same thing given twice is the later one, as when files are applied one after the other. */
  #put(resource: Resource, document: number | undefined, origins?: RuleOrigins): void {
    const { kind, metadata } = resource;
    const key = `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
    const former = this.#resources.get(key);
    if (former?.document !== undefined && document !== undefined)
      this.#report(former.document, "left-out", {
        path: ["metadata", "name"],
        message: `${kind} ${metadata.name} is given again later, and that one counts`,
        expected: "each once",
      });
    this.#resources.set(key, { resource, document, ...(origins && { origins }) });
  }

  #putNode(node: KubernetesNode, document: number | undefined): void {
    this.#nodes.set(node.name, node);
    this.#put(nodeResource(node), document);
    this.#put(nodeNetworkSet(node), undefined);
  }

  /** A pod exists on a node, in a namespace and under an account, whether or not anybody wrote them down. */
  #addImplied({ namespace, serviceAccount, node, hostAddresses }: KubernetesPod): void {
    if (node !== undefined && !this.#nodes.has(node) && hostAddresses.length > 0)
      this.#putNode({ name: node, labels: {}, addresses: hostAddresses }, undefined);
    const labels = { "kubernetes.io/metadata.name": namespace };
    const implied = [
      convertNamespace({ metadata: { name: namespace, labels } }),
      convertServiceAccount({ metadata: { name: serviceAccount, namespace } }),
    ];
    for (const profile of implied) {
      if (!this.#resources.has(`Profile /${profile.metadata.name}`)) this.#put(profile, undefined);
    }
  }

  /** What it says itself, then what its node says. */
  #hostAddresses(pod: KubernetesPod, madeUp: MadeUpAddresses): readonly Ip[] {
    if (pod.addresses.length > 0) return pod.addresses;
    if (pod.hostAddresses.length > 0) return pod.hostAddresses;
    const known = pod.node === undefined ? undefined : this.#nodes.get(pod.node);
    if (known && known.addresses.length > 0) return known.addresses;
    return [madeUp.of(`node ${pod.node ?? `of ${pod.namespace}/${pod.name}`}`)];
  }

  #read<T>(document: Record<string, unknown>, place: number, read: (fields: Fields) => T): T | undefined {
    const problems: Problem[] = [];
    const result = read(new Fields(document, [], problems));
    if (problems.length === 0) return result;
    this.#reportAll(place, "invalid", problems);
    return undefined;
  }

  #report(document: number, kind: DocumentProblem["kind"], problem: Problem): void {
    this.#problems.push({ document, kind, ...problem });
  }

  #reportAll(document: number, kind: DocumentProblem["kind"], problems: readonly Problem[]): void {
    for (const problem of problems) this.#report(document, kind, problem);
  }
}

function ownAddresses(pod: KubernetesPod, madeUp: MadeUpAddresses): readonly Ip[] {
  return pod.addresses.length > 0 ? pod.addresses : [madeUp.of(`${pod.namespace}/${pod.name}`)];
}

function inNamespace(resource: Record<string, unknown>): Record<string, unknown> {
  const { kind, metadata } = resource;
  if (!isKind(kind) || !KINDS[kind].namespaced || !isMapping(metadata) || metadata["namespace"])
    return resource;
  return { ...resource, metadata: { ...metadata, namespace: "default" } };
}

function httpRules({ spec }: Resource): Path[] {
  if (!("ingress" in spec) || !Array.isArray(spec.ingress)) return [];
  return spec.ingress.flatMap((rule, i): Path[] =>
    asksForHttp(rule as Rule) ? [["spec", "ingress", i, "http"]] : [],
  );
}
