/**
 * Rules of policies and profiles: what no packet could match, what the dataplane could not express, and where
 * criteria exclude each other. A rule that silently matches nothing is a hole in a wall, so it is refused.
 */

import type { EntityRule, Rule } from "../generated/types.ts";
import type { Path, Report } from "../problem.ts";
import { type Port, type Protocol, parsePort, protocolHasPorts, protocolNumber } from "../scalars.ts";
import { versionOf } from "./families.ts";

export interface RuleContext {
  readonly direction: "ingress" | "egress";
  /** Whether the policy has a namespace that services without one may take. */
  readonly namespaced: boolean;
}

export function checkRules(
  spec: { ingress?: Rule[]; egress?: Rule[] },
  namespaced: boolean,
  report: Report,
): void {
  for (const direction of ["ingress", "egress"] as const) {
    for (const [i, rule] of (spec[direction] ?? []).entries()) {
      checkRule(rule, { direction, namespaced }, ["spec", direction, i], report);
    }
  }
}

function checkRule(rule: Rule, context: RuleContext, path: Path, report: Report): void {
  checkIcmp(rule, path, report);
  checkIpVersions(rule, path, report);
  for (const end of ["source", "destination"] as const) {
    const entity = rule[end];
    if (!entity) continue;
    checkPorts(rule.protocol, entity, [...path, end], report);
    checkServices(entity, end, context, [...path, end], report);
    checkGlobal(entity, [...path, end], report);
    for (const [i, net] of (entity.notNets ?? []).entries()) {
      if (net.endsWith("/0")) {
        report([...path, end, "notNets", i], `excluding ${net} leaves nothing to match`, "a smaller block");
      }
    }
  }
  checkHttp(rule, context, path, report);
}

function checkIcmp(rule: Rule, path: Path, report: Report): void {
  for (const field of ["icmp", "notICMP"] as const) {
    const icmp = rule[field];
    if (!icmp) continue;
    if (rule.protocol === undefined || ![1, 58].includes(protocolNumber(rule.protocol))) {
      report([...path, "protocol"], `${field} needs protocol ICMP or ICMPv6`, "ICMP or ICMPv6");
    }
    if (icmp.code !== undefined && icmp.type === undefined) {
      report([...path, field, "type"], "an ICMP code needs a type", "an ICMP type");
    }
  }
}

/** The version a rule is about: stated, implied by ICMP, or by each block. All must agree. */
function checkIpVersions(rule: Rule, path: Path, report: Report): void {
  let version = rule.ipVersion;
  let because = `ipVersion is ${version}`;
  const claim = (claimed: 4 | 6, reason: string, at: Path): void => {
    if (version === undefined) {
      version = claimed;
      because = reason;
    } else if (version !== claimed) {
      report(at, `${reason}, but ${because}: no packet matches both`, `only IPv${version}`);
    }
  };
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol);
  if (protocol === 1) claim(4, "ICMP is IPv4", [...path, "protocol"]);
  if (protocol === 58) claim(6, "ICMPv6 is IPv6", [...path, "protocol"]);
  for (const end of ["source", "destination"] as const) {
    for (const field of ["nets", "notNets"] as const) {
      for (const [i, net] of (rule[end]?.[field] ?? []).entries()) {
        claim(versionOf(net), `${net} is IPv${versionOf(net)}`, [...path, end, field, i]);
      }
    }
  }
}

function checkPorts(protocol: Protocol | undefined, entity: EntityRule, path: Path, report: Report): void {
  if (protocol !== undefined && protocolHasPorts(protocol)) return;
  for (const field of ["ports", "notPorts"] as const) {
    const ports: Port[] = entity[field] ?? [];
    // Without a protocol, a named port is still exact: endpoints give their names together with a protocol.
    const wrong = ports.findIndex(port => protocol !== undefined || parsePort(port)?.type === "range");
    if (wrong >= 0) {
      const has = protocol === undefined ? "the rule has none" : `not ${protocol}`;
      report(
        [...path, field, wrong],
        `ports need protocol TCP, UDP or SCTP, ${has}`,
        "protocol TCP, UDP or SCTP",
      );
    }
  }
}

const REPLACED_BY_SERVICES = [
  "nets",
  "notNets",
  "selector",
  "notSelector",
  "namespaceSelector",
  "serviceAccounts",
] as const;

function checkServices(
  entity: EntityRule,
  end: "source" | "destination",
  { direction, namespaced }: RuleContext,
  path: Path,
  report: Report,
): void {
  const { services } = entity;
  if (!services) return;
  const at = [...path, "services"];
  if (end !== (direction === "ingress" ? "source" : "destination")) {
    report(
      at,
      `services cannot be the ${end} of an ${direction} rule`,
      "the source of ingress or the destination of egress rules",
    );
  }
  if (!services.name) report([...at, "name"], "services needs the name of a service", "a name");
  if (!namespaced && !services.namespace) {
    report([...at, "namespace"], "outside a namespaced policy, services needs a namespace", "a namespace");
  }
  const replaced =
    end === "destination" ? ([...REPLACED_BY_SERVICES, "ports", "notPorts"] as const) : REPLACED_BY_SERVICES;
  for (const field of replaced) {
    const value = entity[field];
    if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) continue;
    report([...path, field], `services and ${field} exclude each other`, "one of them");
  }
}

const GLOBAL = /(?<![A-Za-z0-9_./-])global\([ \t]*\)/;

/** `global()` is not a criterion on labels but the absence of a namespace, so it stands alone. */
export function mentionsGlobal(selector: string): boolean {
  return GLOBAL.test(selector.replaceAll(/"[^"]*"|'[^']*'/g, "''"));
}

function checkGlobal(entity: EntityRule, path: Path, report: Report): void {
  for (const field of ["selector", "notSelector"] as const) {
    if (mentionsGlobal(entity[field] ?? "")) {
      report([...path, field], "global() stands only in a namespaceSelector", "a selector without global()");
    }
  }
  const namespaces = entity.namespaceSelector ?? "";
  if (mentionsGlobal(namespaces) && !/^[ \t]*global\([ \t]*\)[ \t]*$/.test(namespaces)) {
    report([...path, "namespaceSelector"], "global() cannot be combined", "global() alone");
  }
}

function checkHttp(rule: Rule, { direction }: RuleContext, path: Path, report: Report): void {
  if (!rule.http) return;
  if (direction === "egress") report([...path, "http"], "http is for ingress rules", "an ingress rule");
  if (rule.action !== "Allow") report([...path, "action"], "http is for rules that allow", "Allow");
  if (rule.protocol !== undefined && protocolNumber(rule.protocol) !== 6) {
    report([...path, "protocol"], "http is for TCP", "TCP");
  }
  for (const [i, { exact, prefix }] of (rule.http.paths ?? []).entries()) {
    if ((exact === undefined) === (prefix === undefined)) {
      report([...path, "http", "paths", i], "a path is either exact or a prefix", "one of exact and prefix");
    }
  }
}
