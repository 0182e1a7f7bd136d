import assert from "node:assert/strict";
import {
  applyDefaults,
  isKind,
  KINDS,
  type KindName,
  type Problem,
  pathText,
  type Resource,
  validateResource,
} from "../../../crd-schemas/index.ts";
import { changed, EXAMPLES } from "./examples.ts";

const KIND_NAMES = Object.keys(KINDS) as KindName[];

/** Stands in for policy/'s parser, which is above this room. */
const parseSelector = (text: string): string | undefined =>
  text.includes("===") ? "expected a string after ==" : undefined;

function problems(document: unknown): readonly Problem[] {
  return validateResource(document, { parseSelector }).problems ?? [];
}

function lines(document: unknown): string[] {
  return problems(document).map(({ path, message }) => `${pathText(path)}: ${message}`);
}

function accepted(document: unknown): Resource {
  const { resource, problems } = validateResource(document, { parseSelector });
  assert.deepEqual(problems, undefined);
  return resource!;
}

describe("crd-schemas: a valid resource", () => {
  for (const kind of KIND_NAMES) {
    it(`${kind}: passes, and comes back as it was written`, () => {
      const resource = accepted(EXAMPLES[kind]);
      assert.deepEqual(resource, EXAMPLES[kind]);
      assert.deepEqual(accepted(JSON.parse(JSON.stringify(resource))), resource);
    });
  }

  it("is not changed in the caller's hands", () => {
    const document = changed("NetworkPolicy", { "spec.types": undefined, "spec.ingress.0.protocol": "tcp" });
    const before = structuredClone(document);
    accepted(document);
    assert.deepEqual(document, before);
  });

  it("may carry what the datastore and Kubernetes add to metadata", () => {
    accepted(
      changed("IPPool", {
        "metadata.uid": "6c0f",
        "metadata.resourceVersion": "12",
        "metadata.creationTimestamp": null,
        "metadata.generation": 1,
        "metadata.finalizers": ["x/y"],
        "metadata.managedFields": [{ manager: "kubectl", fieldsV1: { "f:spec": {} } }],
        "metadata.ownerReferences": [{ apiVersion: "v1", kind: "Node", name: "n", uid: "1" }],
      }),
    );
  });
});

describe("crd-schemas: what is no resource at all", () => {
  const cases: [string, unknown, string[]][] = [
    ["a list", [], [": the document is not a resource"]],
    ["nothing", null, [": the document is not a resource"]],
    ["an empty mapping", {}, ["apiVersion: apiVersion is missing", "kind: kind is missing"]],
    ["an unknown kind", { apiVersion: "projectcalico.org/v3", kind: "Pool" }, ['kind: unknown kind "Pool"']],
    ["an old version", { apiVersion: "v1", kind: "IPPool" }, ['apiVersion: unknown apiVersion "v1"']],
    ["no metadata", { apiVersion: "projectcalico.org/v3", kind: "Tier" }, ["metadata: metadata is missing"]],
  ];
  for (const [name, document, expected] of cases) {
    it(name, () => assert.deepEqual(lines(document), expected));
  }

  it("every kind refuses a spec that is text", () => {
    for (const kind of KIND_NAMES) {
      const found = lines(changed(kind, { spec: "x" }));
      assert.ok(found.includes('spec: "x" is not a mapping'), `${kind}: ${found}`);
    }
  });
});

describe("crd-schemas: unknown fields", () => {
  const unknown = (field: string) =>
    `field in document is not recognized or is in the wrong location: ${field}`;

  it("are errors at every depth, with the path to them", () => {
    const document = changed("NetworkPolicy", {
      colour: "red",
      "metadata.colour": "red",
      "spec.colour": "red",
      "spec.ingress.0.source.services": undefined,
      "spec.ingress.0.source.serviceAccounts.colour": "red",
    });
    assert.deepEqual(lines(document).sort(), [
      `colour: ${unknown("colour")}`,
      `metadata.colour: ${unknown("colour")}`,
      `spec.colour: ${unknown("colour")}`,
      `spec.ingress[0].source.serviceAccounts.colour: ${unknown("colour")}`,
    ]);
  });

  it("come with the field that was meant", () => {
    const expected = (document: unknown) => problems(document).map(problem => problem.expected);
    assert.deepEqual(expected(changed("NetworkPolicy", { "spec.egres": [] })), ["egress"]);
    assert.deepEqual(expected(changed("IPPool", { "spec.natoutgoing": true })), ["natOutgoing"]);
    assert.deepEqual(expected(changed("Profile", { "spec.ingress.0.ports": [80] })), [
      "source.ports or destination.ports",
    ]);
    assert.deepEqual(expected(changed("Tier", { "spec.colour": "red" })), ["one of order, defaultAction"]);
    assert.match(
      expected(changed("FelixConfiguration", { "spec.colour": "red" }))[0]!,
      /^one of the \d+ fields/,
    );
  });

  it("are kept where a newer Calico may have written them", () => {
    const document = changed("IPPool", { "spec.fromTheFuture": { a: 1 } });
    const { resource } = validateResource(document, { unknownFields: "keep" });
    assert.deepEqual((resource as unknown as { spec: Record<string, unknown> }).spec["fromTheFuture"], {
      a: 1,
    });
  });

  it("every kind has an example of, none takes them", () => {
    for (const kind of KIND_NAMES) {
      assert.ok(lines(changed(kind, { "spec.zzz": 1 })).includes(`spec.zzz: ${unknown("zzz")}`), kind);
    }
  });
});

/** What is changed in the kind's example, and the problems that must come of it, all of them. */
const REFUSED: Partial<Record<KindName, [Record<string, unknown>, ...string[]][]>> = {
  NetworkPolicy: [
    [{ "metadata.name": undefined }, "metadata.name: name is missing"],
    [{ "metadata.name": "Allow_Web" }, 'metadata.name: invalid name "Allow_Web"'],
    [{ "metadata.name": "a.b.c" }, 'metadata.name: invalid name "a.b.c"'],
    [{ "metadata.name": "knp.default.A" }, 'metadata.name: invalid name "knp.default.A"'],
    [{ "metadata.namespace": undefined }, "metadata.namespace: a NetworkPolicy needs a namespace"],
    [{ "metadata.namespace": "Shop" }, 'metadata.namespace: invalid namespace "Shop"'],
    [{ "metadata.labels": { "-a": "b" } }, 'metadata.labels["-a"]: invalid label key "-a"'],
    [{ "metadata.labels": { a: "b c" } }, 'metadata.labels.a: invalid label value "b c"'],
    [{ "metadata.labels": { a: 1 } }, "metadata.labels.a: 1 is not text"],
    [{ "spec.order": "first" }, 'spec.order: "first" is not a number'],
    [{ "spec.tier": "Platform" }, 'spec.tier: "Platform" is not the name of a tier'],
    [{ "spec.types": ["Ingress", "Ingress"] }, "spec.types: types names a direction twice"],
    [{ "spec.types": ["In"] }, 'spec.types[0]: "In" is not one of Ingress, Egress'],
    [
      { "spec.types": ["Ingress", "Egress", "Egress"] },
      'spec.types: ["Ingress","Egress","Egress"] is not a list of 2 elements or less',
    ],
    [
      { "spec.selector": "a === 'b'" },
      `spec.selector: invalid selector "a === 'b'": expected a string after ==`,
    ],
    [
      { "spec.selector": "global()" },
      "spec.selector: global() stands only in the namespaceSelector of a rule",
    ],
    [
      { "spec.selector": "x".repeat(1025) },
      `spec.selector: ${`"${"x".repeat(76)}...`} is not text of 1024 characters or less`,
    ],
    [{ "spec.ingress": "all" }, 'spec.ingress: "all" is not a list'],
    [
      { "spec.ingress.0.action": "allow" },
      'spec.ingress[0].action: "allow" is not one of Allow, Deny, Log, Pass',
    ],
    [{ "spec.ingress.1.action": undefined }, "spec.ingress[1].action: action is missing"],
    [{ "spec.ingress.0.ipVersion": 5 }, "spec.ingress[0].ipVersion: 5 is not one of 4, 6"],
    [
      { "spec.ingress.0.protocol": "tpc" },
      'spec.ingress[0].protocol: "tpc" is not TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 0 to 255',
    ],
    [
      { "spec.ingress.0.source.nets.1": "10.0.0.1/8" },
      'spec.ingress[0].source.nets[1]: "10.0.0.1/8" is not an IP address, or a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length',
    ],
    [
      { "spec.ingress.0.source.nets.1": "fd00::/8" },
      "spec.ingress[0].source.nets[1]: fd00::/8 is IPv6, but ipVersion is 4: no packet matches both",
    ],
    [
      { "spec.ingress.0.ipVersion": undefined, "spec.ingress.0.source.notNets": ["fd00::/8"] },
      "spec.ingress[0].source.notNets[0]: fd00::/8 is IPv6, but 10.0.0.0/8 is IPv4: no packet matches both",
    ],
    [
      { "spec.ingress.0.source.notNets": ["0.0.0.0/0"] },
      "spec.ingress[0].source.notNets[0]: excluding 0.0.0.0/0 leaves nothing to match",
    ],
    [
      { "spec.ingress.0.destination.ports": ["90:80"] },
      'spec.ingress[0].destination.ports[0]: "90:80" is not a port from 1 to 65535, a range "low:high", or a name of letters, digits, ".", "_" and "-"',
    ],
    [{ "spec.ingress.0.destination.ports": [0] }, "spec.ingress[0].destination.ports[0]: 0 is not 1 or more"],
    [
      { "spec.ingress.1.destination": { ports: [80] } },
      "spec.ingress[1].destination.ports[0]: ports need protocol TCP, UDP or SCTP, not ICMP",
    ],
    [
      { "spec.egress.2.destination": { ports: ["http", 80] } },
      "spec.egress[2].destination.ports[1]: ports need protocol TCP, UDP or SCTP, the rule has none",
    ],
    [
      { "spec.egress.2.source": { notPorts: ["1:2"] } },
      "spec.egress[2].source.notPorts[0]: ports need protocol TCP, UDP or SCTP, the rule has none",
    ],
    [{ "spec.ingress.1.icmp": { type: 255 } }, "spec.ingress[1].icmp.type: 255 is not 254 or less"],
    [{ "spec.ingress.1.icmp": { code: 0 } }, "spec.ingress[1].icmp.type: an ICMP code needs a type"],
    [{ "spec.ingress.1.protocol": "TCP" }, "spec.ingress[1].protocol: icmp needs protocol ICMP or ICMPv6"],
    [
      { "spec.ingress.1.ipVersion": 6 },
      "spec.ingress[1].protocol: ICMP is IPv4, but ipVersion is 6: no packet matches both",
    ],
    [
      { "spec.egress.1.protocol": undefined },
      "spec.egress[1].protocol: notICMP needs protocol ICMP or ICMPv6",
    ],
    [
      { "spec.ingress.2.destination": { services: { name: "x" } } },
      "spec.ingress[2].destination.services: services cannot be the destination of an ingress rule",
    ],
    [
      { "spec.egress.0.source": { services: { name: "x" } } },
      "spec.egress[0].source.services: services cannot be the source of an egress rule",
    ],
    [
      { "spec.ingress.2.source.services": { namespace: "shop" } },
      "spec.ingress[2].source.services.name: services needs the name of a service",
    ],
    [
      { "spec.ingress.2.source.selector": "a", "spec.ingress.2.source.nets": ["10.0.0.0/8"] },
      "spec.ingress[2].source.nets: services and nets exclude each other",
      "spec.ingress[2].source.selector: services and selector exclude each other",
    ],
    [
      { "spec.egress.0.destination.ports": [53] },
      "spec.egress[0].destination.ports: services and ports exclude each other",
    ],
    [
      { "spec.ingress.0.source.selector": "a && global()" },
      "spec.ingress[0].source.selector: global() stands only in a namespaceSelector",
    ],
    [
      { "spec.ingress.0.source.namespaceSelector": "a || global()" },
      "spec.ingress[0].source.namespaceSelector: global() cannot be combined",
    ],
    [{ "spec.ingress.0.action": "Deny" }, "spec.ingress[0].action: http is for rules that allow"],
    [
      { "spec.egress.2.http": {}, "spec.egress.2.action": "Allow" },
      "spec.egress[2].http: http is for ingress rules",
    ],
    [
      { "spec.ingress.0.http.paths.0": { exact: "/a", prefix: "/b" } },
      "spec.ingress[0].http.paths[0]: a path is either exact or a prefix",
    ],
    [
      { "spec.ingress.0.source.ports": Array(51).fill(80) },
      `spec.ingress[0].source.ports: ${JSON.stringify(Array(51).fill(80)).slice(0, 77)}... is not a list of 50 elements or less`,
    ],
  ],
  GlobalNetworkPolicy: [
    [{ "metadata.namespace": "shop" }, "metadata.namespace: a GlobalNetworkPolicy is in no namespace"],
    [{ "spec.applyOnForward": false }, "spec.applyOnForward: doNotTrack needs applyOnForward"],
    [
      { "spec.preDNAT": true, "spec.egress": [], "spec.types": ["Ingress"] },
      "spec.preDNAT: preDNAT and doNotTrack exclude each other",
    ],
    [
      { "spec.doNotTrack": false, "spec.preDNAT": true },
      "spec.egress: a preDNAT policy has no egress rules",
      "spec.types[1]: a preDNAT policy does not govern egress",
    ],
    [
      { "spec.ingress.2.source.services": { name: "front" } },
      "spec.ingress[2].source.services.namespace: outside a namespaced policy, services needs a namespace",
    ],
  ],
  StagedGlobalNetworkPolicy: [
    [{ "spec.stagedAction": "Drop" }, 'spec.stagedAction: "Drop" is not one of Set, Delete, Learn, Ignore'],
    [{ "spec.applyOnForward": undefined }, "spec.applyOnForward: preDNAT needs applyOnForward"],
  ],
  StagedKubernetesNetworkPolicy: [
    [
      { "spec.ingress.0.from.0.ipBlock.except": ["11.0.0.0/8"] },
      "spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/8 is not a part of 10.0.0.0/8",
    ],
    [
      { "spec.ingress.0.from.0.podSelector": {} },
      "spec.ingress[0].from[0].ipBlock: ipBlock and selectors exclude each other",
    ],
    [{ "spec.ingress.0.from.0": {} }, "spec.ingress[0].from[0]: the peer is empty"],
    [
      { "spec.podSelector": { matchLabels: { "a == 'b' || c": "d" } } },
      "spec.podSelector.matchLabels[\"a == 'b' || c\"]: invalid label key \"a == 'b' || c\"",
    ],
    [
      { "spec.podSelector": { matchExpressions: [{ key: "a b", operator: "In", values: ["c"] }] } },
      'spec.podSelector.matchExpressions[0].key: invalid label key "a b"',
    ],
    [
      { "spec.podSelector": { matchExpressions: [{ key: "a", operator: "In", values: ["c d"] }] } },
      'spec.podSelector.matchExpressions[0].values[0]: invalid label value "c d"',
    ],
    [
      { "spec.ingress.0.ports.0.endPort": 79 },
      "spec.ingress[0].ports[0].endPort: endPort 79 is below port 80",
    ],
    [
      { "spec.ingress.0.ports.0.port": "http" },
      "spec.ingress[0].ports[0].port: endPort needs a port by number",
    ],
    [
      { "spec.podSelector.matchExpressions.0.values": undefined },
      "spec.podSelector.matchExpressions[0].values: In has no values",
    ],
    [
      { "spec.podSelector.matchExpressions.0.operator": "Exists" },
      "spec.podSelector.matchExpressions[0].values: Exists takes no values",
    ],
  ],
  Tier: [
    [{ "metadata.name": "a.b" }, 'metadata.name: invalid name "a.b"'],
    [{ "metadata.name": "x".repeat(64) }, `metadata.name: invalid name "${"x".repeat(64)}"`],
    [{ "spec.defaultAction": "Allow" }, 'spec.defaultAction: "Allow" is not one of Deny, Pass'],
    [
      { "metadata.name": "default" },
      "spec.order: the order of tier default cannot be changed",
      "spec.defaultAction: the default action of tier default cannot be changed",
    ],
    [{ "metadata.name": "kube-admin" }, "spec.order: the order of tier kube-admin cannot be changed"],
  ],
  Profile: [
    [{ "metadata.name": "cal_net1" }, 'metadata.name: invalid name "cal_net1"'],
    [{ "spec.labelsToApply": { "a b": "" } }, 'spec.labelsToApply["a b"]: invalid label key "a b"'],
    [
      { "spec.ingress.0.protocol": undefined, "spec.ingress.0.destination": { ports: [80] } },
      "spec.ingress[0].destination.ports[0]: ports need protocol TCP, UDP or SCTP, the rule has none",
    ],
  ],
  GlobalNetworkSet: [
    [{ "spec.nets.0": "10.0.0" }, 'spec.nets[0]: "10.0.0" is not an IP address or a CIDR such as 10.0.0.0/8'],
    [{ "spec.nets.0": 10 }, "spec.nets[0]: 10 is not text"],
  ],
  HostEndpoint: [
    [{ "spec.node": undefined }, "spec.node: node is missing"],
    [{ "spec.node": "" }, 'spec.node: "" is not non-empty text'],
    [
      { "spec.interfaceName": undefined, "spec.expectedIPs": [] },
      "spec.interfaceName: neither interfaceName nor expectedIPs is given",
    ],
    [{ "spec.interfaceName": "a b" }, 'spec.interfaceName: "a b" is not an interface'],
    [
      { "spec.interfaceName": "abcdefghijklmnop" },
      'spec.interfaceName: "abcdefghijklmnop" is not text of 15 characters or less',
    ],
    [{ "spec.expectedIPs.0": "10.0.0.0/8" }, 'spec.expectedIPs[0]: "10.0.0.0/8" is not an IP address'],
    [{ "spec.ports.0.name": "SSH" }, 'spec.ports[0].name: invalid port name "SSH"'],
    [{ "spec.ports.0.protocol": "ICMP" }, "spec.ports[0].protocol: ICMP has no ports"],
    [{ "spec.ports.0.port": 65536 }, "spec.ports[0].port: 65536 is not 65535 or less"],
    [
      { "spec.ports.1": { name: "ssh", protocol: "tcp", port: 23 } },
      'spec.ports[1].name: port name "ssh" is given twice',
    ],
    [
      { "metadata.annotations": { "qos.projectcalico.org/dscp": "fast" } },
      'metadata.annotations["qos.projectcalico.org/dscp"]: "fast" is not a number from 0 to 63, or a name such as DF, EF, AF11 or CS1',
    ],
  ],
  WorkloadEndpoint: [
    [
      { "metadata.name": "host1-k8s-web-eth0" },
      'metadata.name: the name of this workload endpoint is "host1-k8s-web--1-eth0", not "host1-k8s-web-eth0"',
    ],
    [
      { "spec.pod": undefined },
      "spec.pod: a workload endpoint is named after its pod, which is missing or invalid",
    ],
    [
      { "spec.ipNetworks.0": "10.65.0.0/31" },
      'spec.ipNetworks[0]: "10.65.0.0/31" is more than one address',
      "spec.ipNATs[0].internalIP: 10.65.0.2 is not an address of the workload",
    ],
    [
      { "spec.ipNATs.0.internalIP": "10.65.0.3" },
      "spec.ipNATs[0].internalIP: 10.65.0.3 is not an address of the workload",
    ],
    [
      { "spec.ipNATs.0.externalIP": "fd00::9" },
      "spec.ipNATs[0].externalIP: fd00::9 is not IPv4 as 10.65.0.2 is",
    ],
    [{ "spec.ipv4Gateway": "fe80::1" }, 'spec.ipv4Gateway: "fe80::1" is not IPv4'],
    [{ "spec.mac": "ee:ee" }, 'spec.mac: "ee:ee" is not a MAC address such as ee:ee:ee:ee:ee:ee'],
    [{ "spec.ports.0.protocol": 1 }, "spec.ports[0].protocol: 1 has no ports"],
    [
      { "spec.qosControls.ingressBandwidth": 999 },
      "spec.qosControls.ingressBandwidth: 999 is not 1000 or more",
    ],
    [
      { "spec.qosControls.egressPacketRate": undefined },
      "spec.qosControls.egressPacketBurst: egressPacketBurst needs egressPacketRate",
    ],
    [
      { "spec.qosControls.egressPeakrate": 1_000_000 },
      "spec.qosControls.egressPeakrate: the peak rate is not above the bandwidth",
    ],
  ],
  IPPool: [
    [{ "spec.cidr": undefined, "spec.blockSize": undefined }, "spec.cidr: cidr is missing"],
    [
      { "spec.cidr": "192.168.0.1/16" },
      'spec.cidr: "192.168.0.1/16" is not a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length',
    ],
    [
      { "spec.cidr": "192.168.0.0" },
      'spec.cidr: "192.168.0.0" is not a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length',
    ],
    [{ "spec.cidr": "192.168.0.0/27" }, "spec.cidr: the pool 192.168.0.0/27 is smaller than a block of /26"],
    [
      { "spec.cidr": "169.254.0.0/20" },
      "spec.cidr: 169.254.0.0/20 overlaps the link-local range 169.254.0.0/16",
    ],
    [
      { "spec.cidr": "fe80::/16", "spec.blockSize": 122, "spec.ipipMode": "Never" },
      "spec.cidr: fe80::/16 overlaps the link-local range fe80::/10",
    ],
    [{ "spec.blockSize": 19 }, "spec.blockSize: 19 is not 20 or more"],
    [{ "spec.blockSize": 33 }, "spec.blockSize: IPv4 blocks cannot be /33"],
    [
      { "spec.cidr": "fd00::/48", "spec.blockSize": 64, "spec.ipipMode": "Never" },
      "spec.blockSize: IPv6 blocks cannot be /64",
    ],
    [{ "spec.cidr": "fd00::/48", "spec.blockSize": undefined }, "spec.ipipMode: IP-in-IP is for IPv4 pools"],
    [{ "spec.vxlanMode": "Always" }, "spec.vxlanMode: ipipMode and vxlanMode exclude each other"],
    [{ "spec.ipipMode": "always" }, 'spec.ipipMode: "always" is not one of Never, Always, CrossSubnet'],
    [
      { "spec.allowedUses": undefined },
      "spec.namespaceSelector: a pool with a namespaceSelector cannot serve tunnels, which are in no namespace",
    ],
    [
      {
        "spec.allowedUses": ["LoadBalancer", "Workload"],
        "spec.disableBGPExport": true,
        "spec.nodeSelector": "a",
      },
      "spec.allowedUses: LoadBalancer cannot be combined with other uses",
      "spec.ipipMode: load balancer addresses are not encapsulated",
      "spec.nodeSelector: load balancer addresses belong to no node",
      "spec.disableBGPExport: load balancer addresses are reached through BGP",
    ],
    [{ "spec.natOutgoing": "yes" }, 'spec.natOutgoing: "yes" is not true or false'],
  ],
  IPReservation: [
    [
      { "spec.reservedCIDRs.0": "192.168.0.1/30" },
      'spec.reservedCIDRs[0]: "192.168.0.1/30" is not an IP address, or a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length',
    ],
  ],
  IPAMConfiguration: [
    [{ "metadata.name": "mine" }, 'metadata.name: invalid name "mine"'],
    [{ "spec.strictAffinity": false }, "spec.maxBlocksPerHost: a limit on blocks needs strictAffinity"],
    [{ "spec.maxBlocksPerHost": 1_000_001 }, "spec.maxBlocksPerHost: 1000001 is not 1000000 or less"],
    [{ "spec.ipCooldownSeconds": 1201 }, "spec.ipCooldownSeconds: 1201 is not 1200 or less"],
  ],
  IPAMBlock: [
    [
      { "spec.affinity": "host1" },
      'spec.affinity: "host1" is not text that matches ^(host|virtual):[a-zA-Z0-9\\.\\-_]+$',
    ],
    [{ "spec.allocations.0": "0" }, 'spec.allocations[0]: "0" is not an integer or null'],
  ],
  BlockAffinity: [[{ "spec.deleted": false }, "spec.deleted: false is not text"]],
  BGPConfiguration: [
    [{ "metadata.name": "host1" }, 'metadata.name: invalid name "host1"'],
    [
      { "metadata.name": "node.", "spec.nodeToNodeMeshEnabled": undefined, "spec.asNumber": undefined },
      'metadata.name: invalid name "node."',
    ],
    [
      { "metadata.name": "node.host1" },
      "spec.nodeToNodeMeshEnabled: nodeToNodeMeshEnabled holds for the whole cluster",
      "spec.asNumber: asNumber holds for the whole cluster",
    ],
    [
      { "spec.nodeToNodeMeshEnabled": false },
      "spec.nodeMeshPassword: nodeMeshPassword is for the mesh, which is off",
      "spec.nodeMeshMaxRestartTime: nodeMeshMaxRestartTime is for the mesh, which is off",
    ],
    [
      { "spec.asNumber": "1.65536" },
      'spec.asNumber: "1.65536" is not an AS number from 0 to 4294967295, or "high.low"',
    ],
    [
      { "spec.communities.0.value": "65000" },
      'spec.communities[0].value: "65000" is not a community, "high:low" or "global:local1:local2"',
    ],
    [{ "spec.communities.0.value": "65536:1" }, 'spec.communities[0].value: "65536:1" is no community'],
    [
      { "spec.communities.1": { name: "fabric", value: "65000:2" } },
      'spec.communities[1].name: "fabric" is given twice',
    ],
    [{ "spec.prefixAdvertisements": [] }, "spec.communities: communities are given but nothing uses them"],
    [
      { "spec.prefixAdvertisements.0.communities": ["none"] },
      'spec.prefixAdvertisements[0].communities[0]: "none" is neither a name in communities nor a value',
    ],
    [
      { "spec.nodeMeshMaxRestartTime": "2 min" },
      'spec.nodeMeshMaxRestartTime: "2 min" is not a duration such as 90s, 1m30s or 500ms',
    ],
    [{ "spec.localWorkloadPeeringIPV4": "fd00::1" }, 'spec.localWorkloadPeeringIPV4: "fd00::1" is not IPv4'],
    [{ "spec.listenPort": 0 }, "spec.listenPort: 0 is not 1 or more"],
    [
      { "spec.ipv4NormalRoutePriority": 2147483647 },
      "spec.ipv4NormalRoutePriority: 2147483647 is not 2147483646 or less",
    ],
  ],
  BGPPeer: [
    [{ "spec.node": "host1" }, "spec.nodeSelector: node and nodeSelector exclude each other"],
    [
      { "spec.peerIP": undefined, "spec.reachableBy": undefined },
      "spec.peerIP: nothing says who the peer is",
    ],
    [{ "spec.peerIP": "10.0.0.1:0" }, `spec.peerIP: "10.0.0.1:0" is not a peer's address`],
    [{ "spec.peerIP": "tor" }, `spec.peerIP: "tor" is not a peer's address`],
    [
      { "spec.peerSelector": "a" },
      "spec.peerSelector: peerIP and peerSelector exclude each other",
      "spec.asNumber: nodes chosen by peerSelector bring their own AS number",
    ],
    [
      {
        "spec.peerIP": undefined,
        "spec.reachableBy": undefined,
        "spec.localWorkloadSelector": "a",
        "spec.asNumber": undefined,
      },
      "spec.asNumber: workloads have no AS number of their own",
    ],
    [
      { "spec.peerIP": undefined, "spec.localWorkloadSelector": "a" },
      "spec.reachableBy: reachableBy needs peerIP",
    ],
    [{ "spec.peerIP": "10.0.0.1" }, "spec.reachableBy: the gateway is not IPv4 as the peer is"],
    [
      { "spec.keepOriginalNextHop": true },
      "spec.keepOriginalNextHop: keepOriginalNextHop and nextHopMode exclude each other",
    ],
    [
      { "spec.password.secretKeyRef.name": undefined },
      "spec.password.secretKeyRef.name: the secret has no name",
    ],
    [{ "spec.password.secretKeyRef.key": undefined }, "spec.password.secretKeyRef.key: key is missing"],
    [{ "spec.keepaliveTime": 30 }, "spec.keepaliveTime: 30 is not text"],
  ],
  BGPFilter: [
    [
      { "spec.exportV4.0.matchOperator": undefined },
      "spec.exportV4[0].matchOperator: cidr needs a matchOperator",
    ],
    [
      { "spec.exportV4.0.cidr": undefined },
      "spec.exportV4[0].cidr: matchOperator needs a cidr",
      "spec.exportV4[0].prefixLength: prefixLength needs a cidr",
    ],
    [{ "spec.exportV4.0.cidr": "fd00::/26" }, 'spec.exportV4[0].cidr: "fd00::/26" is not IPv4'],
    [
      { "spec.exportV4.0.prefixLength": { max: 33 } },
      "spec.exportV4[0].prefixLength.max: 33 is not 32 or less",
    ],
    [
      { "spec.exportV4.0.prefixLength": { min: 30, max: 28 } },
      "spec.exportV4[0].prefixLength.min: min 30 is above max 28",
    ],
    [
      { "spec.exportV4.0.prefixLength": { max: 7 } },
      "spec.exportV4[0].prefixLength.max: no prefix in 10.0.0.0/8 is as short as /7",
    ],
    [
      { "spec.exportV4.0.action": "Reject" },
      "spec.exportV4[0].operations: a rejected route cannot be changed",
    ],
    [{ "spec.exportV4.0.interface": "eth 0" }, 'spec.exportV4[0].interface: "eth 0" is not an interface'],
    [{ "spec.exportV4.0.operations.0": {} }, "spec.exportV4[0].operations[0]: {} is not a non-empty mapping"],
    [
      { "spec.exportV4.0.operations.0.setPriority": { value: 1 } },
      'spec.exportV4[0].operations[0]: {"addCommunity":{"value":"65000:2"},"setPriority":{"value":1}} is not a mapping of one field',
    ],
  ],
  FelixConfiguration: [
    [
      { "metadata.name": "default" },
      'spec.nodeSelector: the name "default" already says which nodes are meant',
    ],
    [
      { "metadata.name": "node.host1" },
      'spec.nodeSelector: the name "node.host1" already says which nodes are meant',
    ],
    [{ "spec.healthPort": "9099" }, 'spec.healthPort: "9099" is not an integer'],
    [{ "spec.natOutgoingAddress": "fd00::1" }, 'spec.natOutgoingAddress: "fd00::1" is not IPv4'],
    [
      { "spec.failsafeInboundHostPorts.0.protocol": "icmp" },
      "spec.failsafeInboundHostPorts[0].protocol: ICMP has no ports",
    ],
    [{ "spec.routeTableRanges.0.min": 251 }, "spec.routeTableRanges[0].min: min 251 is above max 250"],
    [
      { "spec.routeTableRange": { min: 1, max: 2 } },
      "spec.routeTableRange: routeTableRange and routeTableRanges exclude each other",
    ],
    [{ "spec.logActionRateLimit": "fast" }, 'spec.logActionRateLimit: "fast" is not a rate'],
  ],
  Node: [
    [{ "spec.bgp": {} }, "spec.bgp: {} is not a non-empty mapping"],
    [{ "spec.bgp.ipv4Address": "fd00::1/64" }, 'spec.bgp.ipv4Address: "fd00::1/64" is not IPv4'],
    [{ "spec.bgp.ipv6Address": "10.0.0.1/24" }, 'spec.bgp.ipv6Address: "10.0.0.1/24" is not IPv6'],
    [
      { "spec.bgp.routeReflectorClusterID": "fd00::1" },
      'spec.bgp.routeReflectorClusterID: "fd00::1" is not IPv4',
    ],
    [
      { "spec.addresses.0.address": "host1" },
      'spec.addresses[0].address: "host1" is not an IP address, with or without a prefix length, such as 10.0.0.1/24',
    ],
    [
      { "spec.wireguard.interfaceIPv4Address": "fd00::1" },
      'spec.wireguard.interfaceIPv4Address: "fd00::1" is not IPv4',
    ],
  ],
  CalicoNodeStatus: [
    [{ "spec.updatePeriodSeconds": 86401 }, "spec.updatePeriodSeconds: 86401 is not 86400 or less"],
    [{ "spec.classes": ["All"] }, 'spec.classes[0]: "All" is not one of Agent, BGP, Routes'],
  ],
  ClusterInformation: [[{ "metadata.name": "mine" }, 'metadata.name: invalid name "mine"']],
  KubeControllersConfiguration: [
    [
      { "spec.controllers.node.leakGracePeriod": "soon" },
      'spec.controllers.node.leakGracePeriod: "soon" is not a duration such as 90s, 1m30s or 500ms',
    ],
  ],
};

describe("crd-schemas: refused", () => {
  for (const [kind, cases] of Object.entries(REFUSED)) {
    for (const [change, ...expected] of cases) {
      it(`${kind} with ${JSON.stringify(change).slice(0, 100)}`, () => {
        assert.ok(isKind(kind));
        assert.deepEqual(lines(changed(kind, change)), expected);
        for (const problem of problems(changed(kind, change))) assert.notEqual(problem.expected, "");
      });
    }
  }

  it("all problems of a document are told at once", () => {
    assert.equal(
      lines(changed("IPPool", { "spec.cidr": "x", "spec.natOutgoing": 1, "spec.zzz": 1 })).length,
      3,
    );
  });
});

describe("crd-schemas: accepted although unusual", () => {
  const cases: [string, KindName, Record<string, unknown>][] = [
    ["a policy that Kubernetes' was copied to", "NetworkPolicy", { "metadata.name": "knp.default.a.b.c" }],
    [
      "a policy name with a tier, as 3.30 wrote it",
      "GlobalNetworkPolicy",
      { "metadata.name": "platform.web" },
    ],
    ["global() by itself", "NetworkPolicy", { "spec.ingress.0.source.namespaceSelector": " global() " }],
    ["global() inside a string", "NetworkPolicy", { "spec.selector": "a == 'global()'" }],
    [
      "a named port without a protocol",
      "NetworkPolicy",
      { "spec.egress.2.destination": { ports: ["http"] } },
    ],
    [
      "ports of protocol 132",
      "NetworkPolicy",
      { "spec.egress.2": { action: "Allow", protocol: 132, source: { ports: [1] } } },
    ],
    [
      "a service in the policy's own namespace",
      "NetworkPolicy",
      { "spec.ingress.2.source.services": { name: "a" } },
    ],
    [
      "a disabled pool smaller than a block",
      "IPPool",
      { "spec.cidr": "192.168.0.0/30", "spec.disabled": true },
    ],
    [
      "a host endpoint for all interfaces",
      "HostEndpoint",
      { "spec.interfaceName": "*", "spec.expectedIPs": undefined },
    ],
    [
      "one port name for two protocols",
      "HostEndpoint",
      { "spec.ports.1": { name: "ssh", protocol: "UDP", port: 22 } },
    ],
    ["a protected tier as it is", "Tier", { "metadata.name": "kube-baseline", "spec.order": 10_000_000 }],
    ["the default tier without an order", "Tier", { "metadata.name": "default", spec: {} }],
    [
      "a node's own BGP settings",
      "BGPConfiguration",
      { "metadata.name": "node.host-1.example.org", spec: { listenPort: 1790 } },
    ],
    ["a peer by selector", "BGPPeer", { spec: { peerSelector: "rr == 'true'" } }],
    ["an IPv4 peer with a port", "BGPPeer", { spec: { peerIP: "10.0.0.1:1790", asNumber: 1 } }],
  ];
  for (const [name, kind, change] of cases) {
    it(name, () => {
      accepted(changed(kind, change));
    });
  }
});

describe("crd-schemas: defaults", () => {
  const withSpec = (kind: KindName, spec: unknown): Resource => accepted({ ...EXAMPLES[kind], spec });

  it("a policy's directions follow from its rules, its tier is default", () => {
    const types = (spec: object) =>
      (withSpec("NetworkPolicy", spec) as { spec: { types?: string[] } }).spec.types;
    const rules = [{ action: "Allow" }];
    assert.deepEqual(types({}), ["Ingress"]);
    assert.deepEqual(types({ ingress: rules }), ["Ingress"]);
    assert.deepEqual(types({ egress: rules }), ["Egress"]);
    assert.deepEqual(types({ ingress: [], egress: rules }), ["Egress"]);
    assert.deepEqual(types({ ingress: rules, egress: rules }), ["Ingress", "Egress"]);
    assert.deepEqual(types({ types: ["Egress"], ingress: rules }), ["Egress"]);
    assert.equal((withSpec("NetworkPolicy", {}) as { spec: { tier?: string } }).spec.tier, "default");
  });

  it("a pool has the block size of its IP version, no encapsulation, all nodes, both uses", () => {
    const common = {
      ipipMode: "Never",
      vxlanMode: "Never",
      nodeSelector: "all()",
      allowedUses: ["Workload", "Tunnel"],
      assignmentMode: "Automatic",
    };
    assert.deepEqual(withSpec("IPPool", { cidr: "10.0.0.0/16" }).spec, {
      cidr: "10.0.0.0/16",
      blockSize: 26,
      ...common,
    });
    assert.deepEqual(withSpec("IPPool", { cidr: "fd00::/48" }).spec, {
      cidr: "fd00::/48",
      blockSize: 122,
      ...common,
    });
  });

  it("IPAM settings are those of a cluster without any", () => {
    assert.deepEqual(withSpec("IPAMConfiguration", {}).spec, {
      strictAffinity: false,
      autoAllocateBlocks: true,
      maxBlocksPerHost: 0,
    });
  });

  it("a layer of a layered configuration stays as empty as it was written", () => {
    for (const kind of ["FelixConfiguration", "BGPConfiguration", "KubeControllersConfiguration"] as const) {
      assert.deepEqual(withSpec(kind, {}).spec, {});
    }
  });

  it("staged policies are to be set", () => {
    assert.deepEqual(withSpec("StagedKubernetesNetworkPolicy", {}).spec, { stagedAction: "Set" });
  });

  it("a missing spec is an empty one, null is absent", () => {
    assert.deepEqual(accepted({ ...EXAMPLES.Profile, spec: undefined }).spec, {});
    assert.deepEqual(accepted({ ...EXAMPLES.Profile, spec: { ingress: null } }).spec, {});
  });

  it("scalars become canonical", () => {
    const document = changed("NetworkPolicy", {
      "spec.ingress.0.protocol": "tcp",
      "spec.ingress.0.source.ports": ["80", "90:90", "1:2", "http"],
      "spec.ingress.1.protocol": "icmp",
    });
    const { ingress } = (accepted(document) as unknown as { spec: { ingress: Record<string, unknown>[] } })
      .spec;
    assert.equal(ingress[0]!["protocol"], "TCP");
    assert.deepEqual((ingress[0]!["source"] as { ports: unknown }).ports, [80, 90, "1:2", "http"]);
    assert.equal(ingress[1]!["protocol"], "ICMP");
    const peer = accepted(changed("BGPPeer", { "spec.asNumber": "1.10", "spec.localASNumber": "65000" }));
    assert.deepEqual(
      [peer.spec].map(spec => [
        (spec as { asNumber?: number }).asNumber,
        (spec as { localASNumber?: number }).localASNumber,
      ]),
      [[65546, 65000]],
    );
  });

  it("configuration takes enumerated values in any case, since environments write them in capitals", () => {
    const resource = accepted(
      changed("FelixConfiguration", { "spec.defaultEndpointToHostAction": "ACCEPT" }),
    );
    assert.equal(
      (resource.spec as { defaultEndpointToHostAction?: string }).defaultEndpointToHostAction,
      "Accept",
    );
  });

  it("a workload endpoint without a name gets the one it must have", () => {
    const document = changed("WorkloadEndpoint", { "metadata.name": undefined });
    assert.equal(accepted(document).metadata.name, "host1-k8s-web--1-eth0");
  });

  it("applyDefaults does the same to what others stored, and keeps what it cannot read", () => {
    const stored = changed("NetworkPolicy", {
      "spec.types": undefined,
      "spec.tier": undefined,
      "spec.new": 1,
      "spec.ingress.0.protocol": "tcp",
      "spec.ingress.1.protocol": "???",
    }) as Resource & { kind: "NetworkPolicy" };
    const { spec } = applyDefaults(stored);
    assert.deepEqual(spec.types, ["Ingress", "Egress"]);
    assert.equal(spec.tier, "default");
    assert.equal((spec as Record<string, unknown>)["new"], 1);
    assert.deepEqual(
      spec.ingress!.slice(0, 2).map(({ protocol }) => protocol),
      ["TCP", "???"],
    );
    assert.equal(stored.spec.types, undefined, "the caller's object is left alone");
  });
});
