/**
 * The chains that do not depend on endpoints: from the kernel's hooks to the dispatch chains, and what is the same
 * for every workload (calico.md 3.3). Host endpoints, floating IPs and tunnels will add their jumps here.
 */

import { type Rule, rule } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { MarkBits } from "./marks.ts";
import { dispatchChain, setName } from "./names.ts";
import { denyRule } from "./policy-chains.ts";

export interface StaticChains {
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  /** Rules for the kernel's own chains: at the top or, as configured, at the end. */
  readonly hooks: ReadonlyMap<string, readonly Rule[]>;
  /** Rules that belong at the end of a kernel chain whatever the insert mode. */
  readonly appends: ReadonlyMap<string, readonly Rule[]>;
}

/** Sets that exist always: sources to masquerade, and destinations that need none. */
export const MASQUERADED_POOLS = "masq-ipam-pools";
export const ALL_POOLS = "network-ip-pools";

/** NDP and MLD: without them no IPv6 packet leaves a workload. Types of RFC 4861, 2710 and 3810. */
const NEIGHBOUR_DISCOVERY = [130, 131, 132, 133, 135, 136];

export function filterChains(version: IpVersion, config: FelixConfig, marks: MarkBits): StaticChains {
  const workloads = config.interfacePrefix.map(prefix => `${prefix}+`);
  const allow = (r: Rule) => (config.iptablesFilterAllowAction === "Return" ? r.return() : r.accept());

  const forward = [
    rule().clearMark(marks.all - marks.accept),
    ...workloads.map(name => rule().inInterface(name).jump(dispatchChain("egress"))),
    ...workloads.map(name => rule().outInterface(name).jump(dispatchChain("ingress"))),
  ];
  const input = [
    ...workloads.map(name => rule().inInterface(name).goto("cali-wl-to-host")),
    allow(rule().markSet(marks.accept)),
    rule().clearMark(marks.all),
  ];
  const toHost = [
    ...(version === 6
      ? NEIGHBOUR_DISCOVERY.map(type => rule().protocol("icmpv6").icmpv6(type).accept())
      : []),
    rule().jump(dispatchChain("egress")),
    defaultToHost(config),
  ];
  const output = [
    allow(rule().markSet(marks.accept)),
    ...workloads.map(name => rule().outInterface(name).return()),
    rule().clearMark(marks.all),
  ];
  return {
    chains: new Map([
      ["cali-FORWARD", forward],
      ["cali-INPUT", input],
      ["cali-wl-to-host", toHost],
      ["cali-OUTPUT", output],
    ]),
    hooks: new Map([
      ["FORWARD", [rule().jump("cali-FORWARD")]],
      ["INPUT", [rule().jump("cali-INPUT")]],
      ["OUTPUT", [rule().jump("cali-OUTPUT")]],
    ]),
    appends: new Map([
      [
        "FORWARD",
        [
          allow(rule().comment("Policy explicitly accepted packet.").markSet(marks.accept)),
          rule().setMark(marks.accept),
        ],
      ],
    ]),
  };
}

function defaultToHost(config: FelixConfig): Rule {
  const base = rule().comment("Configured DefaultEndpointToHostAction");
  if (config.defaultEndpointToHostAction === "Accept") return base.accept();
  return config.defaultEndpointToHostAction === "Return" ? base.return() : denyRule(base, config);
}

/** Workloads may use no source address but their own: strict reverse path, before connection tracking. */
export function rawChains(config: FelixConfig, marks: MarkBits): StaticChains {
  const workloads = config.interfacePrefix.map(prefix => `${prefix}+`);
  const prerouting = [
    rule().clearMark(marks.all),
    ...workloads.map(name => rule().inInterface(name).setMark(marks.scratch0)),
    rule().markSet(marks.scratch0).jump("cali-rpf-skip"),
    // Never rejected: this table cannot answer, and the source that would be told is not the sender.
    rule().markSet(marks.scratch0).not.reversePath({ validMark: true }).drop(),
  ];
  return {
    chains: new Map([
      ["cali-PREROUTING", prerouting],
      ["cali-OUTPUT", [rule().clearMark(marks.all)]],
    ]),
    hooks: new Map([
      ["PREROUTING", [rule().jump("cali-PREROUTING")]],
      ["OUTPUT", [rule().jump("cali-OUTPUT")]],
    ]),
    appends: new Map(),
  };
}

/** `cali-rpf-skip`: prefixes that an endpoint may send from although they are not its own. */
export function spoofingExceptions(
  endpoints: Iterable<{ readonly interfaceName: string; readonly allowedSources: readonly string[] }>,
  version: IpVersion,
): Rule[] {
  const rules: Rule[] = [];
  for (const { interfaceName, allowedSources } of endpoints) {
    for (const source of allowedSources) {
      if (source.includes(":") === (version === 6))
        rules.push(rule().inInterface(interfaceName).source(source).accept());
    }
  }
  return rules;
}

/** What leaves the cluster from a pool with natOutgoing takes the host's address. */
export function natChains(version: IpVersion, config: FelixConfig): StaticChains {
  const outgoing = () => {
    const base = rule()
      .sourceSet(setName(version, MASQUERADED_POOLS))
      .not.destinationSet(setName(version, ALL_POOLS));
    return config.iptablesNATOutgoingInterfaceFilter
      ? base.outInterface(config.iptablesNATOutgoingInterfaceFilter)
      : base;
  };
  const address =
    config.natOutgoingAddress.includes(":") === (version === 6) ? config.natOutgoingAddress : "";
  const translate = (base: Rule, toPorts?: readonly [number, number]) => {
    const options = toPorts ? { toPorts, randomFully: true } : { randomFully: true };
    return address ? base.snat(address, options) : base.masquerade(options);
  };
  const [first, last] = config.natPortRange.split(":").map(Number);
  const ranged =
    first && last
      ? ["tcp", "udp"].map(protocol => translate(outgoing().protocol(protocol), [first, last]))
      : [];
  return {
    chains: new Map([
      ["cali-POSTROUTING", [rule().jump("cali-nat-outgoing")]],
      ["cali-nat-outgoing", [...ranged, translate(outgoing())]],
    ]),
    hooks: new Map(),
    // Docker and others put their own masquerading here: ours must not come before it (calico.md 3.3).
    appends: new Map([["POSTROUTING", [rule().jump("cali-POSTROUTING")]]]),
  };
}
