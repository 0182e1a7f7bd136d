/**
 * The nat table (calico.md 3.3): floating addresses, what leaves the cluster from a pool with natOutgoing, and what the
 * host sends into a tunnel. Pure.
 */

import { type Rule, rule } from "iptables-ts";
import { ipVersion } from "../../../net/ip.ts";
import type { FloatingIp } from "../../calc/changes.ts";
import type { RenderContext } from "./actions.ts";
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, setName } from "./names.ts";
import type { HostState, TableChains } from "./table-chains.ts";

export function natChains(context: RenderContext, state: HostState): TableChains {
  const floating = floatingIps(context, state);
  const translated = floating.length > 0;
  const toInternal = [rule().jump("cali-fip-dnat")];
  return {
    chains: new Map([
      ["cali-PREROUTING", toInternal],
      ["cali-OUTPUT", toInternal],
      [
        "cali-fip-dnat",
        floating.map(({ external, internal }) => rule().destination(external).dnat(internal)),
      ],
      [
        "cali-POSTROUTING",
        [
          ...(translated ? [rule().jump("cali-fip-snat")] : []),
          rule().jump("cali-nat-outgoing"),
          ...tunnelMasquerade(context, state),
        ],
      ],
      ["cali-fip-snat", hairpin(floating)],
      ["cali-nat-outgoing", natOutgoing(context)],
    ]),
    hooks: new Map([
      ["PREROUTING", translated ? [rule().jump("cali-PREROUTING")] : []],
      ["OUTPUT", translated ? [rule().jump("cali-OUTPUT")] : []],
    ]),
    // Docker and others put their own masquerading here: ours must not come before it (calico.md 3.3).
    appends: new Map([["POSTROUTING", [rule().jump("cali-POSTROUTING")]]]),
  };
}

/** Each external address once, whoever else claims it. */
function floatingIps({ version }: RenderContext, { endpoints }: HostState): FloatingIp[] {
  const byExternal = new Map<string, FloatingIp>();
  for (const one of endpoints.flatMap(endpoint => endpoint.floatingIps)) {
    const known = byExternal.get(one.external);
    if (ipVersion(one.external) === version && (!known || one.internal < known.internal))
      byExternal.set(one.external, one);
  }
  return [...byExternal.values()].sort((a, b) => (a.external < b.external ? -1 : 1));
}

/** A workload that speaks to its own floating address gets its answer from there. */
function hairpin(floating: readonly FloatingIp[]): Rule[] {
  const byInternal = new Map<string, FloatingIp>();
  for (const one of floating) if (!byInternal.has(one.internal)) byInternal.set(one.internal, one);
  return [...byInternal.values()].map(({ external, internal }) =>
    rule().source(internal).destination(internal).snat(external),
  );
}

function natOutgoing({ config, version }: RenderContext): Rule[] {
  const outgoing = () => {
    let base = rule()
      .sourceSet(setName(version, MASQUERADED_POOLS))
      .not.destinationSet(setName(version, ALL_POOLS));
    if (config.natOutgoingExclusions === "IPPoolsAndHostIPs")
      base = base.not.destinationSet(setName(version, ALL_HOSTS));
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
  return [...ranged, translate(outgoing())];
}

/**
 * What the host itself sends to a workload elsewhere has the address of the interface it would have left by without the tunnel;
 * answers come back through the tunnel only if it has the tunnel's. Source ports of UDP keep clear of VXLAN's own: answers
 * to that port would be taken for our tunnel's packets and not be tracked.
 */
function tunnelMasquerade({ config, version }: RenderContext, { ipip, vxlan }: HostState): Rule[] {
  const devices = [
    ...(ipip ? ["tunl0"] : []),
    ...(vxlan ? [version === 4 ? "vxlan.calico" : "vxlan-v6.calico"] : []),
  ];
  return devices.flatMap(device => {
    const foreign = rule().outInterface(device).not.sourceType("LOCAL", "out").sourceType("LOCAL");
    const all = foreign.masquerade({ randomFully: true });
    if (!vxlan) return [all];
    const toPorts =
      config.vxlanPort < 32_768
        ? ([config.vxlanPort + 1, 65_535] as const)
        : ([1024, config.vxlanPort - 1] as const);
    return [foreign.protocol("udp").masquerade({ toPorts, randomFully: true }), all];
  });
}
