/**
 * Files that say what a cluster is, or will be: every document that policy knows about, wherever it comes from
 * (projectcalico.org/v3, v1, Kubernetes' own objects, what makes pods). What policy has nothing to do with is passed
 * over, and counted, so that a whole repository of manifests can be given as it is.
 */

import type { Located } from "../../input/parse.ts";
import { type Problem, problemText } from "../../input/problem.ts";
import { type ConvertedDocuments, convertDocuments } from "../../policy/convert/documents.ts";
import { V1_KINDS } from "../../policy/convert/v1.ts";
import type { Context } from "../context.ts";
import { didYouMean } from "../nearest.ts";
import type { FileOptions } from "../options.ts";
import { collect } from "./collect.ts";
import { podOfTemplate } from "./pod-templates.ts";
import { InvalidDocuments } from "./problem.ts";

export interface LoadedDocuments extends ConvertedDocuments {
  /** What the resources' document numbers mean. */
  readonly documents: readonly Located[];
}

const KINDS = [
  ..."Pod Namespace Node ServiceAccount Service EndpointSlice Deployment StatefulSet DaemonSet".split(" "),
  ...V1_KINDS,
  ..."NetworkPolicy ClusterNetworkPolicy AdminNetworkPolicy BaselineAdminNetworkPolicy".split(" "),
];

/** Says on stderr what was passed over or left out. @throws InvalidDocuments, CommandError */
export async function loadPolicyDocuments(context: Context, options: FileOptions): Promise<LoadedDocuments> {
  const read = await collect(context, { ...options, recursive: true, skipEmpty: true }, document => document);
  const documents = read.map(podOfTemplate);
  const converted = convertDocuments(documents.map(({ value }) => value));
  const errors: Problem[] = [];
  const passed = new Map<string, number>();
  for (const { document, kind, ...problem } of converted.problems) {
    const { value, locate } = documents[document]!;
    const placed = { ...problem, place: locate(problem.path) };
    if (kind === "left-out") context.stderr.write(`warning: ${problemText(placed)}\n`);
    else if (kind === "invalid") errors.push(placed);
    else {
      const name = String((value as { kind?: unknown }).kind);
      const guess = didYouMean(name, KINDS);
      if (guess === "") passed.set(name, (passed.get(name) ?? 0) + 1);
      else errors.push({ ...placed, message: `${problem.message}${guess}` });
    }
  }
  if (errors.length > 0) throw new InvalidDocuments(errors);
  if (passed.size > 0) {
    const counts = [...passed].map(([name, count]) => `${count} ${name}`).join(", ");
    context.stderr.write(`passed over, as policy does not depend on it: ${counts}\n`);
  }
  return { ...converted, documents };
}
