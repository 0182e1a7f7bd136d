/**
 * The kinds of the v1 model, each as the v3 kind that took its place.
 *
 * Where a problem leaves a hole, the resource that comes out is thrown away with it (v1.ts), so each function
 * may fill holes with whatever has the right type.
 */

import {
  API_VERSION,
  type BGPPeer,
  type EndpointPort,
  type GlobalNetworkPolicy,
  type HostEndpoint,
  type IPPool,
  type Node,
  type ObjectMeta,
  type PolicyType,
  type Profile,
  parseASNumber,
  parseProtocol,
  type Rule,
  type WorkloadEndpoint,
} from "../../crd-schemas/index.ts";
import { workloadEndpointName } from "../../crd-schemas/workload-endpoint-name.ts";
import { cidrVersion, parseCidr } from "../../net/cidr.ts";
import { parseIp } from "../../net/ip.ts";
import type { Fields } from "./fields.ts";
import { v1Name, v1NodeName, v1PeerName, v1PolicyName, v1PoolName, v1ProfileName } from "./v1-names.ts";
import { convertRules, isTag, readSelector, TAG_WORDS } from "./v1-rules.ts";

/**
 * Tags become labels with an empty value.
 *
 * A document that says nothing about tags keeps the tag of its own name, which is what a Docker network's
 * profile was made with: users who opened a port in `cal_web` with a document that only had rules in it did not
 * mean that the containers should leave the network, though calicoctl took it that way. `tags: []` says so.
 */
export function convertProfile(metadata: Fields, spec: Fields): Profile {
  const name = metadata.requiredString("name") ?? "";
  const labels = metadata.texts("labels") ?? {};
  const labelsToApply = { ...labels };
  if (metadata.value("tags") !== undefined) {
    for (const [i, tag] of metadata.strings("tags").entries()) {
      if (!isTag(tag)) metadata.problem(["tags", i], `"${tag}" is no tag`, TAG_WORDS);
      else if (Object.hasOwn(labels, tag))
        metadata.problem(["tags", i], `there is a label "${tag}" too`, "another name");
      else labelsToApply[tag] = "";
    }
  } else if (isTag(name) && !name.startsWith("k8s_ns.") && !Object.hasOwn(labels, name)) {
    labelsToApply[name] = "";
  }
  return {
    apiVersion: API_VERSION,
    kind: "Profile",
    metadata: { name: v1ProfileName(name) },
    spec: {
      ...(Object.keys(labelsToApply).length > 0 && { labelsToApply }),
      ...convertRuleLists(spec),
    },
  };
}

export function convertPolicy(metadata: Fields, spec: Fields): GlobalNetworkPolicy {
  const name = metadata.requiredString("name") ?? "";
  const annotations = metadata.texts("annotations");
  const order = spec.number("order");
  // An empty selector is a decision, a missing one an oversight that would hit every endpoint there is.
  if (spec.value("selector") === undefined)
    spec.problem(["selector"], "is missing", 'a selector; "all()" for all');
  const selector = readSelector(spec, "selector") ?? "all()";
  const doNotTrack = spec.boolean("doNotTrack") ?? false;
  const preDNAT = spec.boolean("preDNAT") ?? false;
  const types = spec.parsedList("types", parsePolicyType, "ingress or egress");
  const rules = convertRuleLists(spec);
  return {
    apiVersion: API_VERSION,
    kind: "GlobalNetworkPolicy",
    metadata: { name: v1PolicyName(name), ...(annotations && { annotations }) },
    spec: {
      ...(order !== undefined && { order }),
      selector,
      types: types.length > 0 ? types : impliedTypes(rules, preDNAT),
      ...rules,
      ...(doNotTrack && { doNotTrack }),
      ...(preDNAT && { preDNAT }),
      ...((doNotTrack || preDNAT) && { applyOnForward: true }),
    },
  };
}

export function convertPool(metadata: Fields, spec: Fields): IPPool {
  const block = metadata.parsed("cidr", value => parseCidr(String(value)), "a CIDR such as 10.65.0.0/16");
  if (metadata.value("cidr") === undefined) metadata.problem(["cidr"], "is missing", "a CIDR");
  const ipip = spec.object("ipip");
  const enabled = ipip.boolean("enabled") ?? false;
  const mode = ipip.parsed("mode", parseIpipMode, "always or cross-subnet") ?? "Always";
  ipip.end();
  const natOutgoing = spec.boolean("nat-outgoing") ?? false;
  const disabled = spec.boolean("disabled") ?? false;
  return {
    apiVersion: API_VERSION,
    kind: "IPPool",
    metadata: { name: v1PoolName(block ?? "") },
    spec: {
      cidr: block ?? "",
      blockSize: block !== undefined && cidrVersion(block) === 6 ? 122 : 26,
      ipipMode: enabled ? mode : "Never",
      vxlanMode: "Never",
      natOutgoing,
      disabled,
      nodeSelector: "all()",
    },
  };
}

export function convertPeer(metadata: Fields, spec: Fields): BGPPeer {
  const scope = metadata.parsed(
    "scope",
    v => (v === "global" || v === "node" ? v : undefined),
    "global or node",
  );
  const node = metadata.string("node");
  const peerIP = metadata.parsed("peerIP", value => parseIp(String(value)), "an IP address");
  if (metadata.value("peerIP") === undefined) metadata.problem(["peerIP"], "is missing", "an IP address");
  if (scope === "node" && !node)
    metadata.problem(["node"], "is missing", "the name of a node, as scope is node");
  if (scope === "global" && node)
    metadata.problem(["node"], "a global peer has no node", "no node, or scope node");
  const asNumber = spec.parsed("asNumber", parseASNumber, "an AS number");
  if (spec.value("asNumber") === undefined) spec.problem(["asNumber"], "is missing", "an AS number");
  const peerName = peerIP === undefined ? "" : v1PeerName(peerIP);
  return {
    apiVersion: API_VERSION,
    kind: "BGPPeer",
    metadata: { name: node ? `${v1NodeName(node)}.${peerName}` : peerName },
    spec: {
      ...(node && { node: v1NodeName(node) }),
      ...(peerIP !== undefined && { peerIP }),
      ...(asNumber !== undefined && { asNumber }),
    },
  };
}

export function convertHostEndpoint(metadata: Fields, spec: Fields): HostEndpoint {
  const name = metadata.requiredString("name") ?? "";
  const node = metadata.requiredString("node") ?? "";
  const labels = convertLabels(metadata);
  const interfaceName = spec.string("interfaceName");
  const expectedIPs = spec.strings("expectedIPs");
  const profiles = spec.strings("profiles").map(v1ProfileName);
  const ports = convertPorts(spec);
  return {
    apiVersion: API_VERSION,
    kind: "HostEndpoint",
    metadata: { name: v1Name(`${node}.${name}`), ...(labels && { labels }) },
    spec: {
      node: v1NodeName(node),
      ...(interfaceName && { interfaceName }),
      ...(expectedIPs.length > 0 && { expectedIPs }),
      ...(profiles.length > 0 && { profiles }),
      ...(ports.length > 0 && { ports }),
    },
  };
}

/** In Kubernetes a v1 workload was `<namespace>.<pod>`; elsewhere there were no namespaces. */
export function convertWorkloadEndpoint(metadata: Fields, spec: Fields): WorkloadEndpoint {
  const endpoint = metadata.requiredString("name") ?? "";
  const orchestrator = metadata.requiredString("orchestrator") ?? "";
  const workload = metadata.requiredString("workload") ?? "";
  const node = v1NodeName(metadata.requiredString("node") ?? "");
  const containerID = metadata.string("activeInstanceID");
  const labels = convertLabels(metadata);
  const dot = orchestrator === "k8s" ? workload.indexOf(".") : -1;
  if (orchestrator === "k8s" && dot < 0)
    metadata.problem(["workload"], `"${workload}" names no namespace`, "<namespace>.<pod>");
  const namespace = dot < 0 ? "default" : workload.slice(0, dot);
  const identity = {
    orchestrator,
    node,
    endpoint,
    ...(orchestrator === "k8s" ? { pod: workload.slice(dot + 1) } : { workload }),
    ...(containerID && { containerID }),
  };
  const name = workloadEndpointName(identity);
  if (name === undefined && endpoint && orchestrator && workload)
    metadata.problem(
      [],
      "no v3 name can be made of this",
      "names of node, workload and endpoint without a dash at their ends",
    );
  const text = (field: string): Record<string, string> => {
    const value = spec.string(field);
    return value ? { [field]: value } : {};
  };
  const ipNATs = spec.objects("ipNATs").map(nat => {
    const pair = {
      internalIP: nat.requiredString("internalIP") ?? "",
      externalIP: nat.requiredString("externalIP") ?? "",
    };
    nat.end();
    return pair;
  });
  const ports = convertPorts(spec);
  return {
    apiVersion: API_VERSION,
    kind: "WorkloadEndpoint",
    metadata: {
      name: name ?? "",
      namespace,
      labels: {
        ...labels,
        "projectcalico.org/namespace": namespace,
        "projectcalico.org/orchestrator": orchestrator,
      },
    },
    spec: {
      ...identity,
      ipNetworks: spec.parsedList("ipNetworks", value => parseCidr(String(value)), "an address"),
      ...(ipNATs.length > 0 && { ipNATs }),
      ...text("ipv4Gateway"),
      ...text("ipv6Gateway"),
      profiles: spec.strings("profiles").map(v1ProfileName),
      ...text("interfaceName"),
      ...text("mac"),
      ...(ports.length > 0 && { ports }),
    },
  };
}

export function convertNode(metadata: Fields, spec: Fields): Node {
  const name = v1NodeName(metadata.requiredString("name") ?? "");
  const bgp = spec.object("bgp");
  const asNumber = bgp.parsed("asNumber", parseASNumber, "an AS number");
  const ipv4Address = bgp.string("ipv4Address");
  const ipv6Address = bgp.string("ipv6Address");
  bgp.end();
  const orchRefs = spec.objects("orchRefs").map(reference => {
    const nodeName = reference.string("nodeName");
    const orchestrator = reference.requiredString("orchestrator") ?? "";
    reference.end();
    return { orchestrator, ...(nodeName && { nodeName }) };
  });
  return {
    apiVersion: API_VERSION,
    kind: "Node",
    metadata: { name },
    spec: {
      ...((asNumber !== undefined || ipv4Address || ipv6Address) && {
        bgp: {
          ...(asNumber !== undefined && { asNumber }),
          ...(ipv4Address && { ipv4Address }),
          ...(ipv6Address && { ipv6Address }),
        },
      }),
      ...(orchRefs.length > 0 && { orchRefs }),
    },
  };
}

function convertRuleLists(spec: Fields): { ingress?: Rule[]; egress?: Rule[] } {
  const ingress = convertRules(spec.objects("ingress"));
  const egress = convertRules(spec.objects("egress"));
  return { ...(ingress.length > 0 && { ingress }), ...(egress.length > 0 && { egress }) };
}

function convertLabels(metadata: Fields): ObjectMeta["labels"] {
  const labels = metadata.texts("labels");
  if (labels === undefined) return undefined;
  const renamed = (key: string): string => (key === "calico/k8s_ns" ? "projectcalico.org/namespace" : key);
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [renamed(key), value]));
}

function convertPorts(spec: Fields): EndpointPort[] {
  return spec.objects("ports").map(port => {
    const name = port.requiredString("name") ?? "";
    const protocol = port.parsed("protocol", parseProtocol, "a protocol") ?? "TCP";
    const number = port.number("port") ?? 0;
    port.end();
    return { name, protocol, port: number };
  });
}

function impliedTypes(rules: { ingress?: Rule[]; egress?: Rule[] }, preDNAT: boolean): PolicyType[] {
  if (preDNAT || !rules.egress) return ["Ingress"];
  return rules.ingress ? ["Ingress", "Egress"] : ["Egress"];
}

function parsePolicyType(value: string | number): PolicyType | undefined {
  const type = String(value).toLowerCase();
  return type === "ingress" ? "Ingress" : type === "egress" ? "Egress" : undefined;
}

function parseIpipMode(value: string | number): "Always" | "CrossSubnet" | undefined {
  const mode = String(value).toLowerCase();
  return mode === "cross-subnet" ? "CrossSubnet" : mode === "always" || mode === "" ? "Always" : undefined;
}
