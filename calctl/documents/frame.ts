/** A document's frame (apiVersion, kind, metadata): what it is, before anyone looks at its spec. */

import { API_VERSION, KINDS, type Path } from "../../crd-schemas/index.ts";
import { RESOURCE_KINDS, type ResourceKind } from "../../datastore/key.ts";
import type { Located } from "../../input/parse.ts";
import type { Problem } from "../../input/problem.ts";
import { convertV1, isV1Document } from "../../policy/convert/v1.ts";
import { isNamespaced, isResourceKind } from "../kinds.ts";
import { didYouMean } from "../nearest.ts";

/** A document that claims to be a v3 resource of a kind that there is. */
export interface Frame {
  readonly apiVersion: string;
  readonly kind: ResourceKind;
  readonly metadata?: unknown;
  readonly [field: string]: unknown;
}

/** The document as v3, converted if it is v1, in `namespace` if it needs one and says none; or what is wrong. */
export function frameOf(document: Located, namespace: string): Frame | Problem[] {
  const { value, locate } = document;
  const problem = (path: Path, message: string, expected?: string): Problem[] => [
    { place: locate(path), path, message, expected },
  ];
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return problem(
      [],
      "the document is not a resource",
      "a mapping with apiVersion, kind, metadata and spec",
    );
  if (isV1Document(value)) {
    const converted = convertV1(value);
    if (converted.problems) return converted.problems.map(found => ({ ...found, place: locate(found.path) }));
    return inNamespace(converted.resource as unknown as Frame, namespace);
  }
  const wrong = frameProblem(value);
  return wrong ? problem(...wrong) : inNamespace(value as Frame, namespace);
}

/** Where a field of the resource was written: v1 documents keep in metadata what v3 has in spec. */
export function fieldLocator({ value, locate }: Located): Located["locate"] {
  if (!isV1Document(value)) return locate;
  const { metadata, spec } = value as { metadata?: object; spec?: object };
  const has = (fields: object | undefined, name: string) => Object.hasOwn(fields ?? {}, name);
  return path => {
    const [top, field] = path;
    const moved = top === "spec" && typeof field === "string" && !has(spec, field) && has(metadata, field);
    return locate(moved ? ["metadata", ...path.slice(1)] : path);
  };
}

/** What is wrong with apiVersion and kind, said better than a schema can. */
function frameProblem({
  apiVersion,
  kind,
}: {
  apiVersion?: unknown;
  kind?: unknown;
}): [Path, string, string] | undefined {
  if (typeof apiVersion === "string" && apiVersion.startsWith("networking.k8s.io/")) {
    const message = `${apiVersion} ${kind} is Kubernetes' own; 'calctl convert' makes it a Calico policy`;
    return [["apiVersion"], message, API_VERSION];
  }
  if (apiVersion === undefined) return [["apiVersion"], "apiVersion is missing", API_VERSION];
  if (apiVersion !== API_VERSION)
    return [["apiVersion"], `unknown apiVersion ${JSON.stringify(apiVersion)}`, API_VERSION];
  const kinds = `one of ${RESOURCE_KINDS.join(", ")}`;
  if (kind === undefined) return [["kind"], "kind is missing", kinds];
  if (typeof kind === "string" && isResourceKind(kind)) return undefined;
  if (typeof kind === "string" && Object.hasOwn(KINDS, kind))
    return [["kind"], `${kind} is a record of the IPAM`, "a kind that users write"];
  return [["kind"], `unknown kind ${JSON.stringify(kind)}${didYouMean(String(kind), RESOURCE_KINDS)}`, kinds];
}

function inNamespace(frame: Frame, namespace: string): Frame {
  const { kind, metadata } = frame;
  if (!isNamespaced(kind) || typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    return frame;
  if ((metadata as { namespace?: unknown }).namespace) return frame;
  return { ...frame, metadata: { ...metadata, namespace } };
}
