/** Rules of v1 policies and profiles as v3 rules: tags become selectors, single nets and lists of nets one list. */

import {
  type Action,
  type EntityRule,
  formatPort,
  type ICMPFields,
  parsePort,
  parseProtocol,
  type Rule,
} from "../../crd-schemas/index.ts";
import { parseCidr } from "../../net/cidr.ts";
import { selectorProblem } from "../selector/index.ts";
import type { Fields } from "./fields.ts";

const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ["", "Allow"],
  ["allow", "Allow"],
  ["deny", "Deny"],
  ["log", "Log"],
  ["pass", "Pass"],
  ["next-tier", "Pass"],
]);

const PROTOCOL = "tcp, udp, icmp, icmpv6, sctp, udplite or a number from 0 to 255";
const CIDR = "an address or a CIDR such as 10.0.0.0/8";

export function convertRules(rules: readonly Fields[]): Rule[] {
  return rules.map(convertRule);
}

function convertRule(rule: Fields): Rule {
  const action = rule.parsed(
    "action",
    text => ACTIONS.get(String(text).toLowerCase()),
    "allow, deny, log or pass",
  );
  const ipVersion = rule.parsed("ipVersion", v => (v === 4 || v === 6 ? v : undefined), "4 or 6");
  const protocol = rule.parsed("protocol", parseProtocol, PROTOCOL);
  const notProtocol = rule.parsed("notProtocol", parseProtocol, PROTOCOL);
  const icmp = convertIcmp(rule.object("icmp"));
  const notICMP = convertIcmp(rule.object("notICMP"));
  const source = convertEntity(rule.object("source"));
  const destination = convertEntity(rule.object("destination"));
  rule.end();
  return {
    action: action ?? "Allow",
    ...(ipVersion !== undefined && { ipVersion }),
    ...(protocol !== undefined && { protocol }),
    ...(notProtocol !== undefined && { notProtocol }),
    ...(icmp && { icmp }),
    ...(notICMP && { notICMP }),
    ...(source && { source }),
    ...(destination && { destination }),
  };
}

function convertIcmp(icmp: Fields): ICMPFields | undefined {
  const type = icmp.number("type");
  const code = icmp.number("code");
  icmp.end();
  if (type === undefined && code === undefined) return undefined;
  return { ...(type !== undefined && { type }), ...(code !== undefined && { code }) };
}

function convertEntity(entity: Fields): EntityRule | undefined {
  const tag = readTag(entity, "tag");
  const notTag = readTag(entity, "notTag");
  const selector = readSelector(entity, "selector");
  const notSelector = readSelector(entity, "notSelector");
  const result: EntityRule = {};
  const nets = readNets(entity, "net", "nets");
  const notNets = readNets(entity, "notNet", "notNets");
  const ports = readPorts(entity, "ports");
  const notPorts = readPorts(entity, "notPorts");
  entity.end();
  // Both criteria must hold; and what either of the negated ones matches is excluded.
  const wanted = [selector, tag].filter(part => part !== undefined);
  const unwanted = [notSelector, notTag].filter(part => part !== undefined);
  if (wanted.length > 0) result.selector = joined(wanted, "&&");
  if (unwanted.length > 0) result.notSelector = joined(unwanted, "||");
  if (nets.length > 0) result.nets = nets;
  if (notNets.length > 0) result.notNets = notNets;
  if (ports.length > 0) result.ports = ports;
  if (notPorts.length > 0) result.notPorts = notPorts;
  return Object.keys(result).length > 0 ? result : undefined;
}

function joined([first, second]: readonly string[], operator: "&&" | "||"): string {
  return second === undefined ? first! : `(${first}) ${operator} ${second}`;
}

/** A tag is a label with an empty value: whose profile has the tag, has the label. */
function readTag(entity: Fields, name: string): string | undefined {
  const tag = entity.string(name);
  if (!tag) return undefined;
  if (isTag(tag)) return `${tag} == ''`;
  entity.problem([name], `"${tag}" is no tag`, TAG_WORDS);
  return undefined;
}

export const TAG_WORDS = 'up to 128 letters, digits, "_", "." and "-"';

export function isTag(text: string): boolean {
  return /^[A-Za-z0-9_.-]{1,128}$/.test(text);
}

/** An absent or empty selector asks nothing. Kubernetes namespaces went by a label of another name. */
export function readSelector(fields: Fields, name: string): string | undefined {
  const text = fields.string(name)?.replaceAll("calico/k8s_ns", "projectcalico.org/namespace");
  if (text === undefined || text.trim() === "") return undefined;
  const wrong = selectorProblem(text);
  if (wrong !== undefined) {
    fields.problem([name], wrong, "a selector");
    return undefined;
  }
  return text;
}

/** Host bits are masked: v1 took `10.0.0.1/8` for 10.0.0.0/8. */
function readNets(entity: Fields, single: string, list: string): string[] {
  const parse = (value: string | number): string | undefined => parseCidr(String(value));
  const first = entity.parsed(single, parse, CIDR);
  const others = entity.parsedList(list, parse, CIDR);
  return first === undefined ? others : [first, ...others];
}

function readPorts(entity: Fields, name: string): (number | string)[] {
  const expected = 'a port from 1 to 65535, a range "low:high" or the name of a port';
  return entity.parsedList(name, parsePort, expected).map(formatPort);
}
