/** What `why` found, for people: the verdict first, then the path to it, then the kernel. */

import type { Direction } from "../../../policy/model.ts";
import { decisionText } from "../simulate/decision.ts";
import type {
  ExplainedEnd,
  ExplainedRule,
  ExplainedRules,
  ExplainedTier,
  Explanation,
} from "./explanation.ts";
import type { Overview } from "./overview.ts";

export function explanationText(explanation: Explanation): string {
  const { from, to, traffic, verdict, path, kernel } = explanation;
  const lines = [
    `${endText(from)} -> ${endText(to)}, ${traffic}: ${verdict}`,
    "",
    ...(path.length === 0
      ? ["Nobody is asked: there is no endpoint on the way, or the packet does not leave it.", ""]
      : []),
    ...path.flatMap(end => [...endLines(end), ""]),
    ...(path.length === 0 ? [] : kernelLines(kernel, path, explanation)),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

function endText({ name, address, node }: Explanation["from"]): string {
  const where = [
    ...(name === address ? [] : [address]),
    ...(node === undefined || node === name ? [] : [`on ${node}`]),
  ];
  return where.length === 0 ? name : `${name} (${where.join(" ")})`;
}

function endLines(end: ExplainedEnd): string[] {
  const { endpoint, kind, direction, verdict, tiers, profiles, otherwise } = end;
  const what = kind === "workload" ? "" : kind === "host" ? "host " : "host endpoint ";
  return [
    `${direction} of ${what}${endpoint}: ${verdict}`,
    ...tiers.flatMap(tier => tierLines(tier)),
    ...(tiers.length === 0 && profiles.length > 0 ? ["  no policy applies, so profiles decide"] : []),
    ...profiles.flatMap(profile => rulesLines(profile, "  ")),
    ...(otherwise === undefined ? [] : [`  ${OTHERWISE[otherwise] ?? otherwise}`]),
  ];
}

const OTHERWISE: Readonly<Record<string, string>> = {
  "no-profile": "no profile allows it: deny",
  failsafe: "a failsafe port, which no policy can close: allow",
  "forward-default": "no policy about forwarding decides: allow",
  "host-to-workload": "a host always reaches its own workloads: allow",
  "endpoint-to-host": "defaultEndpointToHostAction decides what workloads may send to their own host",
  "neighbor-discovery": "IPv6 does not work without neighbor discovery: allow",
  "spoofed-source": "the source is none of its addresses: deny",
  encapsulated: "workloads make no tunnels of their own: deny",
};

function tierLines({ tier, category, policies, defaulted }: ExplainedTier): string[] {
  const about = category === undefined || category === "normal" ? "" : `, ${category}`;
  return [
    `  tier ${tier}${about}`,
    ...policies.flatMap(policy => rulesLines(policy, "    ")),
    ...(defaulted === undefined ? [] : [`    no rule decides, so the tier's default does: ${defaulted}`]),
  ];
}

function rulesLines(
  { kind, name, resource, order, rules, matched }: ExplainedRules,
  indent: string,
): string[] {
  const title = resource
    ? `${resource.kind} ${resource.namespace === undefined ? "" : `${resource.namespace}/`}${resource.name}`
    : `${kind} ${name}`;
  const ordered = order === undefined ? "" : `, order ${order}`;
  if (matched.length === 0) return [`${indent}${title}${ordered}: ${noneOf(rules)}`];
  return matched.flatMap(rule => [
    `${indent}${title}${ordered}: rule ${rule.rule} matches: ${rule.action}${counterText(rule)}`,
    ...yamlText(rule, `${indent}  `),
  ]);
}

function noneOf(rules: number): string {
  if (rules === 0) return "has no rules in this direction";
  return rules === 1 ? "its rule does not match" : `none of its ${rules} rules matches`;
}

function counterText({ counter }: ExplainedRule): string {
  return counter === undefined ? "" : ` (in the kernel: ${counter.packets} packets, ${counter.bytes} bytes)`;
}

function yamlText({ yaml }: ExplainedRule, indent: string): string[] {
  if (yaml === undefined) return [];
  const { first, lines } = yaml;
  const width = String(first + lines.length - 1).length;
  return lines.map((line, i) => `${indent}${String(first + i).padStart(width)} | ${line}`);
}

/** One line, whatever there is to say. */
function kernelLines(
  { node, packetFilter, agrees, differences }: Explanation["kernel"],
  path: readonly ExplainedEnd[],
  { from, to }: Explanation,
): string[] {
  if (node === undefined) return [`kernel: ${differences.join("; ")}`];
  const name = `kernel of ${node}${packetFilter === undefined ? "" : ` (${packetFilter})`}`;
  if (agrees === undefined)
    return [`${name}: none of this is decided there; ask on ${others(path, { from, to })}`];
  if (!agrees) return [`${name} does not agree: ${differences.join("; ")}`];
  return [`${name}: agrees, it has these rules`];
}

function others(path: readonly ExplainedEnd[], { from, to }: Pick<Explanation, "from" | "to">): string {
  const nodes = new Map<Direction, string | undefined>([
    ["egress", from.node],
    ["ingress", to.node],
  ]);
  const named = path.map(({ direction }) => nodes.get(direction)).filter(name => name !== undefined);
  return [...new Set(named)].join(" or ") || "the hosts of its endpoints";
}

export function overviewText({ from, to, decisions }: Overview): string {
  const lines = decisions.flatMap(({ verdict, text, egress, ingress }) => {
    const ends = { egress, ingress };
    const by = (["egress", "ingress"] as const).flatMap(direction => {
      const decision = ends[direction];
      return decision?.verdict === verdict ? [`    ${direction} by ${decisionText(decision)}`] : [];
    });
    return [`  ${verdict.padEnd(5)}  ${text}`, ...by];
  });
  return `${from} -> ${to}\n${lines.join("\n")}\n\nFor the path of one packet and the lines of its rules add --port or --protocol.\n`;
}
