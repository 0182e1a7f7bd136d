/**
 * `apiVersion: v1`: the documents that calicoctl 1.x read, as v3 resources.
 *
 * One document is one resource. Its paths and those of its v3 form mostly agree, so a problem that validation
 * finds later in the resource can be shown in the document the user wrote.
 */

import type { Problem, Resource } from "../../crd-schemas/index.ts";
import { Fields, isMapping } from "./fields.ts";
import {
  convertHostEndpoint,
  convertNode,
  convertPeer,
  convertPolicy,
  convertPool,
  convertProfile,
  convertWorkloadEndpoint,
} from "./v1-kinds.ts";

export type V1Conversion =
  | { readonly resource: Resource; readonly problems?: undefined }
  | { readonly problems: readonly Problem[]; readonly resource?: undefined };

type Converter = (metadata: Fields, spec: Fields) => Resource;

const CONVERTERS: Readonly<Record<string, Converter>> = {
  bgppeer: convertPeer,
  hostendpoint: convertHostEndpoint,
  ippool: convertPool,
  node: convertNode,
  policy: convertPolicy,
  profile: convertProfile,
  workloadendpoint: convertWorkloadEndpoint,
};

/** As v1 documents spell them. */
export const V1_KINDS = [
  "bgpPeer",
  "hostEndpoint",
  "ipPool",
  "node",
  "policy",
  "profile",
  "workloadEndpoint",
] as const;

/** Whether the document says it is of the v1 model; its kind may still be one that never was. */
export function isV1Document(document: unknown): boolean {
  return isMapping(document) && document["apiVersion"] === "v1";
}

/** Kubernetes' core group has the same version and other kinds. */
export function isV1Kind(kind: unknown): boolean {
  return typeof kind === "string" && converterOf(kind) !== undefined;
}

/** Kinds in any case, singular or plural. Lists are for the caller to take apart. */
export function convertV1(document: unknown): V1Conversion {
  const problems: Problem[] = [];
  const fields = new Fields(document, [], problems);
  if (fields.value("apiVersion") !== "v1") fields.problem(["apiVersion"], "is not of the v1 model", "v1");
  const kind = fields.string("kind");
  const convert = converterOf(kind);
  if (convert === undefined) {
    const message = kind === undefined ? "is missing" : `there is no v1 kind "${kind}"`;
    fields.problem(["kind"], message, `one of ${V1_KINDS.join(", ")}`);
    return { problems };
  }
  const metadata = fields.object("metadata");
  const spec = fields.object("spec");
  const resource = convert(metadata, spec);
  for (const part of [metadata, spec, fields]) part.end();
  return problems.length > 0 ? { problems } : { resource };
}

function converterOf(kind: string | undefined): Converter | undefined {
  const name = kind?.toLowerCase() ?? "";
  const candidates = [name, name.replace(/ies$/, "y"), name.replace(/s$/, "")];
  const known = candidates.find(candidate => Object.hasOwn(CONVERTERS, candidate));
  return known === undefined ? undefined : CONVERTERS[known];
}
