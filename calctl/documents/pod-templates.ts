/**
 * What makes pods, as the pods it makes: a repository holds Deployments, not pods. One pod stands for all replicas, since
 * policy does not tell them apart; it has no address, and goes by the name of what makes it.
 */

import type { Path } from "../../crd-schemas/index.ts";
import type { Located } from "../../input/parse.ts";

const TEMPLATES: Readonly<Record<string, Path>> = {
  "apps Deployment": ["spec", "template"],
  "apps StatefulSet": ["spec", "template"],
  "apps DaemonSet": ["spec", "template"],
  "apps ReplicaSet": ["spec", "template"],
  "batch Job": ["spec", "template"],
  "batch CronJob": ["spec", "jobTemplate", "spec", "template"],
};

/** The pod with the places of the template, or the document itself. */
export function podOfTemplate(document: Located): Located {
  const { value, locate } = document;
  const { apiVersion, kind, metadata } = mapOf(value);
  const path = TEMPLATES[`${String(apiVersion).split("/")[0]} ${kind}`];
  if (path === undefined) return document;
  const template = mapOf(path.reduce<unknown>((map, field) => mapOf(map)[field], value));
  const { name, namespace } = mapOf(metadata);
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...mapOf(template["metadata"]), name, ...(namespace !== undefined && { namespace }) },
    spec: template["spec"] ?? {},
  };
  const isOwn = ([top, field]: Path) => top === "metadata" && (field === "name" || field === "namespace");
  return {
    value: pod,
    locate: rest => locate(rest.length === 0 || isOwn(rest) ? rest : [...path, ...rest]),
  };
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
