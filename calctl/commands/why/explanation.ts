/** Everything `why` says about one packet, as data: what `-o json` prints and the text is made of. */

import type { Resource } from "../../../crd-schemas/index.ts";
import type { Packet } from "../../../policy/packet.ts";
import { type YamlLines, yamlLines } from "../../output/yaml-lines.ts";
import type { NamedEnd } from "../simulate/names.ts";
import { packetText } from "../simulate/packets.ts";
import type { RuleSources } from "../simulate/rule-sources.ts";
import type { KernelView } from "./kernel.ts";
import type { AskedEnd, AskedRules, AskedTier, MatchedRule } from "./path.ts";

export interface ExplainedRule extends MatchedRule {
  /** As `get -o yaml` shows it. */
  readonly yaml?: YamlLines;
  /** In the kernel of the host that was asked, if the rule is there. */
  readonly counter?: { readonly packets: number; readonly bytes: number };
}

export interface ExplainedRules extends Omit<AskedRules, "matched"> {
  readonly resource?: { readonly kind: string; readonly namespace?: string; readonly name: string };
  readonly matched: readonly ExplainedRule[];
}

export interface ExplainedTier extends Omit<AskedTier, "policies"> {
  readonly policies: readonly ExplainedRules[];
}

export interface ExplainedEnd extends Omit<AskedEnd, "tiers" | "profiles"> {
  readonly tiers: readonly ExplainedTier[];
  readonly profiles: readonly ExplainedRules[];
}

export interface Explanation {
  readonly from: EndSummary;
  readonly to: EndSummary;
  readonly packet: Packet;
  /** `5432/TCP`. */
  readonly traffic: string;
  readonly verdict: "allow" | "deny";
  readonly path: readonly ExplainedEnd[];
  readonly kernel: {
    readonly node?: string;
    readonly packetFilter?: string;
    /** Whether the kernel of `node` has the rules of the path that are its business; absent where none are, or nobody answers. */
    readonly agrees?: boolean;
    readonly differences: readonly string[];
  };
}

interface EndSummary {
  readonly name: string;
  readonly address: string;
  readonly node?: string;
}

interface Found {
  readonly from: NamedEnd;
  readonly to: NamedEnd;
  readonly packet: Packet;
  readonly verdict: "allow" | "deny";
  readonly path: readonly AskedEnd[];
  readonly kernel: KernelView;
  readonly sources: RuleSources;
}

export async function explain(found: Found): Promise<Explanation> {
  const { from, to, packet, verdict, kernel } = found;
  const path: ExplainedEnd[] = [];
  for (const end of found.path) {
    const tiers: ExplainedTier[] = [];
    for (const tier of end.tiers)
      tiers.push({ ...tier, policies: await explainAll(tier.policies, end, found) });
    path.push({ ...end, tiers, profiles: await explainAll(end.profiles, end, found) });
  }
  const { counter: _, ...seen } = kernel;
  return {
    from: summary(from, packet.source),
    to: summary(to, packet.destination),
    packet,
    traffic: packetText(packet),
    verdict,
    path,
    kernel: seen,
  };
}

function summary({ name, node }: NamedEnd, address: string): EndSummary {
  return { name, address, ...(node !== undefined && { node }) };
}

async function explainAll(
  asked: readonly AskedRules[],
  end: AskedEnd,
  found: Found,
): Promise<ExplainedRules[]> {
  const explained: ExplainedRules[] = [];
  for (const one of asked) {
    const resource = found.sources.resource(one.kind, one.name);
    const matched: ExplainedRule[] = [];
    for (const rule of one.matched) matched.push(await explainRule(rule, one, resource, end, found));
    explained.push({ ...one, ...(resource && { resource: identityOf(resource) }), matched });
  }
  return explained;
}

async function explainRule(
  matched: MatchedRule,
  asked: AskedRules,
  resource: Resource | undefined,
  end: AskedEnd,
  { kernel }: Found,
): Promise<ExplainedRule> {
  const yaml = resource && (await yamlLines(resource, ["spec", end.direction, matched.rule]));
  const counted = kernel.counter(end, asked, matched.rule);
  return {
    ...matched,
    ...(yaml && { yaml }),
    ...(counted && { counter: { packets: counted.packets, bytes: counted.bytes } }),
  };
}

function identityOf({
  kind,
  metadata: { name, namespace },
}: Resource): NonNullable<ExplainedRules["resource"]> {
  return { kind, ...(namespace !== undefined && { namespace }), name };
}
