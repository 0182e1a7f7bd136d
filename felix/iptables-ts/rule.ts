/**
 * A rule as an immutable value: the words of its matches, in the order they were added, and one target. Each
 * method returns a new rule, so a common beginning can be kept and continued in several ways:
 *
 *     const web = rule().protocol("tcp").destinationPorts([80, [8000, 8080]]);
 *     web.not.source("10.0.0.0/8").drop();
 *     web.accept();
 *
 * Two rules are the same when their `text` is. It is kept as text, not as a tree, because all that ever happens to
 * it is comparing, hashing and sending, for tens of thousands of rules.
 */

import * as m from "./match.ts";
import * as t from "./target.ts";

/** What `.not` can be put before. */
export type Negatable =
  | "inInterface"
  | "outInterface"
  | "protocol"
  | "source"
  | "destination"
  | "sourcePorts"
  | "destinationPorts"
  | "sourceSet"
  | "destinationSet"
  | "matchSet"
  | "mark"
  | "connmark"
  | "conntrackState"
  | "conntrackTuple"
  | "icmp"
  | "icmpv6"
  | "sourceType"
  | "destinationType"
  | "reversePath"
  | "hashLimit"
  | "tcpSyn";

export class Rule {
  /** The matches, as iptables arguments. */
  readonly matches: string;
  readonly target: t.Target | undefined;
  readonly #not: boolean;

  constructor(matches = "", target?: t.Target, not = false) {
    this.matches = matches;
    this.target = target;
    this.#not = not;
  }

  /** The whole rule, as the arguments after `-A CHAIN`. */
  get text(): string {
    if (!this.target) return this.matches;
    return this.matches === "" ? this.target.text : `${this.matches} ${this.target.text}`;
  }

  /** Negates the next match. */
  get not(): Pick<Rule, Negatable> {
    return new Rule(this.matches, this.target, !this.#not);
  }

  #add(match: string): Rule {
    return new Rule(this.matches === "" ? match : `${this.matches} ${match}`, this.target);
  }

  /** Gives the rule its target. */
  to(target: t.Target): Rule {
    return new Rule(this.matches, target);
  }

  /** A final `+` is a wildcard: `cali+`. */
  inInterface(name: string): Rule {
    return this.#add(m.inInterface(name, this.#not));
  }
  outInterface(name: string): Rule {
    return this.#add(m.outInterface(name, this.#not));
  }
  protocol(nameOrNumber: string | number): Rule {
    return this.#add(m.protocol(nameOrNumber, this.#not));
  }
  source(net: string): Rule {
    return this.#add(m.source(net, this.#not));
  }
  destination(net: string): Rule {
    return this.#add(m.destination(net, this.#not));
  }
  /** At most 15 slots, a range taking two. After `protocol`. */
  sourcePorts(ports: readonly m.Port[]): Rule {
    return this.#add(m.sourcePorts(ports, this.#not));
  }
  destinationPorts(ports: readonly m.Port[]): Rule {
    return this.#add(m.destinationPorts(ports, this.#not));
  }
  sourceSet(name: string): Rule {
    return this.#add(m.matchSet(name, "src", this.#not));
  }
  destinationSet(name: string): Rule {
    return this.#add(m.matchSet(name, "dst", this.#not));
  }
  /** For sets of several dimensions: hash:ip,port wants "dst,dst". */
  matchSet(name: string, direction: m.SetDirection): Rule {
    return this.#add(m.matchSet(name, direction, this.#not));
  }
  /** mark & mask == value. */
  mark(value: number, mask?: number): Rule {
    return this.#add(m.mark(value, mask, this.#not));
  }
  /** All of these bits are set. */
  markSet(bits: number): Rule {
    return this.#add(m.mark(bits, bits));
  }
  /** None of these bits is set. */
  markClear(bits: number): Rule {
    return this.#add(m.mark(0, bits));
  }
  connmark(value: number, mask?: number): Rule {
    return this.#add(m.connmark(value, mask, this.#not));
  }
  conntrackState(...states: m.ConntrackState[]): Rule {
    return this.#add(m.conntrackState(states, this.#not));
  }
  conntrackTuple(field: m.ConntrackTuple, value: string | number): Rule {
    return this.#add(m.conntrackTuple(field, value, this.#not));
  }
  icmp(type: number, code?: number): Rule {
    return this.#add(m.icmp(type, code, this.#not));
  }
  icmpv6(type: number, code?: number): Rule {
    return this.#add(m.icmpv6(type, code, this.#not));
  }
  sourceType(type: m.AddressType, limitIface?: "in" | "out"): Rule {
    return this.#add(m.addressType("src", type, limitIface, this.#not));
  }
  destinationType(type: m.AddressType, limitIface?: "in" | "out"): Rule {
    return this.#add(m.addressType("dst", type, limitIface, this.#not));
  }
  /** rpfilter; `rule().not.reversePath({ validMark: true })` matches what fails the check. Tables raw and mangle. */
  reversePath(options?: { loose?: boolean; validMark?: boolean; acceptLocal?: boolean }): Rule {
    return this.#add(m.reversePath(options, this.#not));
  }
  limit(rate: m.Rate): Rule {
    return this.#add(m.limit(rate));
  }
  hashLimit(options: m.HashLimit): Rule {
    return this.#add(m.hashLimit(options, this.#not));
  }
  connLimitAbove(count: number, mask: number): Rule {
    return this.#add(m.connLimitAbove(count, mask));
  }
  tcpSyn(): Rule {
    return this.#add(m.tcpSyn(this.#not));
  }
  /** For people; cut at 255 bytes. */
  comment(text: string): Rule {
    return this.#add(m.comment(text));
  }
  /** A match this library does not know, word by word: `raw("-m", "time", "--timestart", "08:00")`. Quoted here. */
  raw(...words: string[]): Rule {
    return this.#add(m.raw(words));
  }

  accept(): Rule {
    return this.to(t.accept);
  }
  drop(): Rule {
    return this.to(t.drop);
  }
  reject(reason?: t.RejectWith): Rule {
    return this.to(t.reject(reason));
  }
  return(): Rule {
    return this.to(t.returnToCaller);
  }
  jump(chain: string): Rule {
    return this.to(t.jump(chain));
  }
  goto(chain: string): Rule {
    return this.to(t.goto(chain));
  }
  log(options?: { prefix?: string; level?: t.LogLevel }): Rule {
    return this.to(t.log(options));
  }
  /** Sets the bits of `value`; with a mask, replaces the bits under it. */
  setMark(value: number, mask?: number): Rule {
    return this.to(t.setMark(value, mask));
  }
  clearMark(mask: number): Rule {
    return this.to(t.clearMark(mask));
  }
  setConnmark(value: number, mask?: number): Rule {
    return this.to(t.setConnmark(value, mask));
  }
  saveConnmark(mask?: number): Rule {
    return this.to(t.saveConnmark(mask));
  }
  restoreConnmark(mask?: number): Rule {
    return this.to(t.restoreConnmark(mask));
  }
  masquerade(options?: t.NatOptions): Rule {
    return this.to(t.masquerade(options));
  }
  snat(address: string, options?: t.NatOptions): Rule {
    return this.to(t.snat(address, options));
  }
  dnat(address: string, port?: m.Port): Rule {
    return this.to(t.dnat(address, port));
  }
  notrack(): Rule {
    return this.to(t.notrack);
  }
  nflog(options: { group: number; prefix?: string; size?: number }): Rule {
    return this.to(t.nflog(options));
  }
  setDscp(value: number): Rule {
    return this.to(t.setDscp(value));
  }
}

/** The empty rule: matches everything, does nothing. */
const EMPTY = new Rule();

/** Begins a rule. */
export const rule = (): Rule => EMPTY;
