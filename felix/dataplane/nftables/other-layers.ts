/**
 * The layers besides filter, of one IP version: raw (before connection tracking), mangle (before and after routing) and nat
 * (calico.md 3.3, 3.7). Pure.
 */

import { addressData, u16 } from "../../../linux/nf-tables/data.ts";
import {
  counter,
  type Expression,
  immediate,
  mapLookup,
  masquerade,
  NatFlag,
  nat,
  notrack,
} from "../../../linux/nf-tables/expression.ts";
import { cidrVersion } from "../../../net/cidr.ts";
import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { Encapsulation, LocalEndpoint } from "../../calc/changes.ts";
import type { RenderContext } from "./context.ts";
import {
  byInterface,
  byInterfacePrefix,
  clearMark,
  connectionState,
  destinationTranslated,
  fromOtherInterfaceOfThisHost,
  inAddressSet,
  inNet,
  inPorts,
  loadAddress,
  type Match,
  markSet,
  protocol,
  reversePathFails,
} from "./match.ts";
import {
  ALL_HOSTS,
  ALL_POOLS,
  chainName,
  FLOATING_DNAT,
  FLOATING_SNAT,
  hostDispatch,
  MASQUERADED_POOLS,
  setName,
} from "./names.ts";
import { commentOf, counted, doing, jump, plain, type TableRule } from "./rule.ts";
import { baseChain, type Chains } from "./static-chains.ts";

const TCP = 6;
const UDP = 17;
/** NF_IP_PRI_*; source translation after everybody else's, Docker's among them. */
const PRIORITY = { raw: -300, mangle: -150, destinationNat: -100, sourceNat: 110 } as const;
const TUNNEL_DEVICES = { ipip: "tunl0", vxlan: "vxlan.calico", vxlan6: "vxlan-v6.calico" } as const;

/** Workloads may use no source address but their own: strict reverse path, before connection tracking. */
export function rawChains(encapsulation: Encapsulation, context: RenderContext): Chains {
  const { config, marks, version } = context;
  const chain = (name: string) => chainName("raw", name);
  const accepted = plain(markSet(marks.accept), "accept");
  const port = { low: config.vxlanPort, high: config.vxlanPort };
  // Encapsulated packets have no replies; each would be a connection of its own.
  const untracked = (version === 4 ? encapsulation.vxlan : encapsulation.vxlan6)
    ? [doing([...protocol(UDP), ...inPorts("destination", port), notrack()], "VXLAN is not tracked")]
    : [];
  return new Map([
    ["raw-PREROUTING", baseChain("filter", "prerouting", PRIORITY.raw, [jump([], chain("PREROUTING"))])],
    ["raw-OUTPUT", baseChain("filter", "output", PRIORITY.raw, [jump([], chain("OUTPUT"))])],
    [
      chain("PREROUTING"),
      {
        rules: [
          doing(clearMark(marks.all)),
          ...untracked,
          ...config.interfacePrefix.map(prefix =>
            plain(byInterfacePrefix("in", prefix), { goto: chain("from-workload") }),
          ),
          jump([], chain(hostDispatch("ingress"))),
          accepted,
        ],
      },
    ],
    [
      chain("from-workload"),
      {
        rules: [
          jump([], chain("rpf-skip")),
          // Never rejected: the source that would be told is not the sender.
          counted(reversePathFails, "drop", "Source address is not the workload's"),
        ],
      },
    ],
    [
      chain("OUTPUT"),
      {
        rules: [doing(clearMark(marks.all)), jump([], chain(hostDispatch("egress"))), accepted, ...untracked],
      },
    ],
  ]);
}

/** `cali-rpf-skip`: prefixes that an endpoint may send from although they are not its own. */
export function spoofingExceptions(
  endpoints: Iterable<Pick<LocalEndpoint, "interfaceName" | "allowedSources">>,
  version: IpVersion,
): TableRule[] {
  const rules: TableRule[] = [];
  for (const { interfaceName, allowedSources } of endpoints) {
    for (const net of allowedSources) {
      if (cidrVersion(net) !== version) continue;
      rules.push(
        plain([...byInterface("in", interfaceName), ...inNet(version, "source", net, true)], "accept"),
      );
    }
  }
  return rules;
}

export function mangleChains({ marks }: RenderContext): Chains {
  const chain = (name: string) => chainName("mangle", name);
  const accepted = (verdict: "accept" | "return") => plain(markSet(marks.accept), verdict);
  return new Map([
    [
      "mangle-PREROUTING",
      baseChain("filter", "prerouting", PRIORITY.mangle, [jump([], chain("PREROUTING"))]),
    ],
    [
      "mangle-POSTROUTING",
      baseChain("filter", "postrouting", PRIORITY.mangle, [jump([], chain("POSTROUTING"))]),
    ],
    [
      chain("PREROUTING"),
      {
        rules: [
          plain(connectionState("ESTABLISHED", "RELATED"), "accept"),
          accepted("accept"),
          jump([], chain(hostDispatch("ingress"))),
          accepted("accept"),
        ],
      },
    ],
    [
      chain("POSTROUTING"),
      {
        rules: [
          jump([], chain("egress-dscp")),
          accepted("return"),
          doing(clearMark(marks.all)),
          // What the host itself sends to a translated destination was not judged before.
          jump(destinationTranslated(true), chain(hostDispatch("egress"))),
          accepted("return"),
        ],
      },
    ],
  ]);
}

export function natChains(encapsulation: Encapsulation, context: RenderContext): Chains {
  const chain = (name: string) => chainName("nat", name);
  const floating = context.config.floatingIPs === "Enabled";
  return new Map([
    [
      "nat-POSTROUTING",
      baseChain("nat", "postrouting", PRIORITY.sourceNat, [jump([], chain("POSTROUTING"))]),
    ],
    [
      chain("POSTROUTING"),
      {
        rules: [
          ...(floating ? [floatingSource(context.version)] : []),
          jump([], chain("nat-outgoing")),
          ...tunnelSources(encapsulation, context.version),
        ],
      },
    ],
    [chain("nat-outgoing"), { rules: outgoingRules(context) }],
    ...(floating
      ? ([
          [
            "nat-PREROUTING",
            baseChain("nat", "prerouting", PRIORITY.destinationNat, [jump([], chain("fip-dnat"))]),
          ],
          ["nat-OUTPUT", baseChain("nat", "output", PRIORITY.destinationNat, [jump([], chain("fip-dnat"))])],
          [chain("fip-dnat"), { rules: [floatingDestination(context.version)] }],
        ] as const)
      : []),
  ]);
}

/** What leaves the cluster from a pool with natOutgoing takes the host's address. */
function outgoingRules({ config, version }: RenderContext): TableRule[] {
  const { natOutgoingAddress, natOutgoingExclusions, iptablesNATOutgoingInterfaceFilter: out } = config;
  const match: Match = [
    ...inAddressSet(version, "source", setName(version, MASQUERADED_POOLS)),
    ...inAddressSet(version, "destination", setName(version, ALL_POOLS), false),
    ...(natOutgoingExclusions === "IPPoolsAndHostIPs"
      ? inAddressSet(version, "destination", setName(version, ALL_HOSTS), false)
      : []),
    ...(out === "" ? [] : interfacePattern(out)),
  ];
  const address =
    natOutgoingAddress !== "" && natOutgoingAddress.includes(":") === (version === 6)
      ? (natOutgoingAddress as Ip)
      : undefined;
  const [first = 0, last = 0] = config.natPortRange.split(":").map(Number);
  const ranged =
    first > 0 && last >= first
      ? [TCP, UDP].map(number => outgoing([...protocol(number), ...match], version, address, [first, last]))
      : [];
  return [...ranged, outgoing(match, version, address)];
}

function outgoing(
  match: Match,
  version: IpVersion,
  address: Ip | undefined,
  ports?: readonly [number, number],
): TableRule {
  const flags = NatFlag.PROTO_RANDOM_FULLY;
  const range = ports ? { portMin: 2, portMax: 3 } : {};
  const loads: Expression[] = ports ? [immediate(u16(ports[0]), 2), immediate(u16(ports[1]), 3)] : [];
  const translate = address
    ? [
        immediate(addressData(address)),
        ...loads,
        nat("snat", familyOf(version), { addressMin: 1, ...range, flags }),
      ]
    : [...loads, masquerade({ ...range, flags })];
  return { expressions: [...match, counter(), ...translate], comment: commentOf("Outgoing to the world") };
}

/** As iptables has it: a `+` at the end stands for whatever follows. */
const interfacePattern = (pattern: string): Match =>
  pattern.endsWith("+") ? byInterfacePrefix("out", pattern.slice(0, -1)) : byInterface("out", pattern);

/** The host's own packets into a tunnel must have the tunnel's address: the other end answers by it. */
function tunnelSources({ ipip, vxlan, vxlan6 }: Encapsulation, version: IpVersion): TableRule[] {
  const devices =
    version === 4
      ? [...(ipip ? [TUNNEL_DEVICES.ipip] : []), ...(vxlan ? [TUNNEL_DEVICES.vxlan] : [])]
      : [...(vxlan6 ? [TUNNEL_DEVICES.vxlan6] : [])];
  return devices.map(device => ({
    expressions: [
      ...byInterface("out", device),
      ...fromOtherInterfaceOfThisHost,
      counter(),
      masquerade({ flags: NatFlag.PROTO_RANDOM_FULLY }),
    ],
    comment: `Into ${device} with its own address`,
  }));
}

const familyOf = (version: IpVersion) => (version === 4 ? "ip" : "ip6");

function floatingDestination(version: IpVersion): TableRule {
  return doing([
    loadAddress(version, "destination"),
    mapLookup(FLOATING_DNAT),
    nat("dnat", familyOf(version), { addressMin: 1 }),
  ]);
}

/** A workload that speaks to its own floating address hears itself from there. */
function floatingSource(version: IpVersion): TableRule {
  const second = version === 4 ? 9 : 2;
  return doing([
    loadAddress(version, "source"),
    loadAddress(version, "destination", second),
    mapLookup(FLOATING_SNAT),
    nat("snat", familyOf(version), { addressMin: 1 }),
  ]);
}
