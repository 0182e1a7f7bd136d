/**
 * Where the rules that the evaluator names were written: the object, the field in it, the line of the file. Policies
 * of Kubernetes are evaluated as what they become, and one of their rules may become several.
 */

import { type Path, pathText, type Resource } from "../../../crd-schemas/index.ts";
import type { Located } from "../../../input/parse.ts";
import { placeText } from "../../../input/problem.ts";
import type { Reason } from "../../../policy/evaluate.ts";
import type { Direction } from "../../../policy/model.ts";
import type { DocumentState, Origin } from "../../../policy/state.ts";

export interface RuleSource {
  /** As it was written: `NetworkPolicy`, `AdminNetworkPolicy`. */
  readonly kind: string;
  /** With the namespace before it, where it is in one. */
  readonly name: string;
  /** `spec.ingress[0]`. */
  readonly path: string;
  /** `web.yml:12:5`, where it came from a file. */
  readonly at?: string;
}

export class RuleSources {
  readonly #origins: DocumentState["origins"];
  readonly #documents: readonly Located[];
  readonly #live: boolean;
  readonly #known = new Map<string, RuleSource | undefined>();

  /** `documents`: those that origins number. What is in none of them is a datastore's where there is one, else nobody's. */
  constructor(
    { origins }: Pick<DocumentState, "origins">,
    { documents = [], live = false }: { readonly documents?: readonly Located[]; readonly live?: boolean },
  ) {
    this.#origins = origins;
    this.#documents = documents;
    this.#live = live;
  }

  /** Undefined for reasons that are no rules, and for rules that nobody wrote: those of a namespace's profile. */
  ofReason(reason: Reason, direction: Direction): RuleSource | undefined {
    if (reason.kind !== "policy" && reason.kind !== "profile") return undefined;
    const name = reason.kind === "policy" ? reason.policy : reason.profile;
    const key = `${reason.kind} ${name} ${direction} ${reason.rule}`;
    // Asked for every probe, and finding the line of a rule means walking the file's tree.
    if (!this.#known.has(key)) {
      const origin = this.origin(reason);
      this.#known.set(key, origin && this.#find(origin, direction, reason.rule));
    }
    return this.#known.get(key);
  }

  /** The policy or profile that a reason names. */
  origin(reason: Reason): Origin | undefined {
    if (reason.kind === "policy") return this.#origins.policies.get(reason.policy);
    return reason.kind === "profile" ? this.#origins.profiles.get(reason.profile) : undefined;
  }

  /** `name`: a policy's key or a profile's name. */
  resource(kind: "policy" | "profile", name: string): Resource | undefined {
    return (kind === "policy" ? this.#origins.policies : this.#origins.profiles).get(name)?.resource;
  }

  #find({ document, resource, rules }: Origin, direction: Direction, rule: number): RuleSource | undefined {
    const path: Path = rules?.[direction][rule] ?? ["spec", direction, rule];
    const located = document === undefined ? undefined : this.#documents[document];
    if (located === undefined) return this.#live ? sourceOf(resource, path) : undefined;
    const written = located.value as typeof resource;
    if (hasNoRules(written.kind)) return undefined;
    return { ...sourceOf(written, path), at: placeText(located.locate(path)) };
  }
}

function hasNoRules(kind: string): boolean {
  return kind === "Namespace" || kind === "ServiceAccount";
}

function sourceOf(
  {
    kind,
    metadata: { name, namespace },
  }: { readonly kind: string; readonly metadata: { readonly name: string; readonly namespace?: string } },
  path: Path,
): RuleSource {
  return { kind, name: namespace === undefined ? name : `${namespace}/${name}`, path: pathText(path) };
}
