/** A valid resource of every kind, as a user would write it: the ground that the tests of this room break. */

import type { KindName } from "../../../crd-schemas/index.ts";

// biome-ignore lint/suspicious/noExplicitAny: documents before validation
type Document = any;

const apiVersion = "projectcalico.org/v3";

const rule = {
  action: "Allow",
  ipVersion: 4,
  protocol: "TCP",
  notProtocol: "UDP",
  source: {
    nets: ["10.0.0.0/8", "192.0.2.1"],
    notNets: ["10.1.0.0/16"],
    selector: "role == 'client'",
    notSelector: "banned == 'true'",
    namespaceSelector: "stage == 'prod'",
    ports: [1024, "2000:3000", "metrics"],
    notPorts: [2500],
    serviceAccounts: { names: ["robot"], selector: "team == 'a'" },
  },
  destination: { ports: [80, 443] },
  http: { methods: ["GET"], paths: [{ exact: "/index" }, { prefix: "/static" }] },
  metadata: { annotations: { ticket: "42" } },
};

const ping = { action: "Pass", protocol: "ICMP", icmp: { type: 8, code: 0 } };

const policySpec = {
  tier: "default",
  order: 100.5,
  selector: "role == 'web'",
  serviceAccountSelector: "team == 'a'",
  types: ["Ingress", "Egress"],
  ingress: [rule, ping, { action: "Allow", source: { services: { name: "front", namespace: "shop" } } }],
  egress: [
    {
      action: "Allow",
      protocol: "UDP",
      destination: { services: { name: "dns", namespace: "kube-system" } },
    },
    { action: "Log", protocol: 58, notICMP: { type: 128 } },
    { action: "Deny" },
  ],
  performanceHints: ["AssumeNeededOnEveryNode"],
};

const conditions = [
  {
    type: "Allocatable",
    status: "True",
    reason: "OK",
    message: "",
    lastTransitionTime: "2026-01-01T00:00:00Z",
    observedGeneration: 1,
  },
];

const filterRule = (cidr: string) => ({
  action: "Accept",
  cidr,
  matchOperator: "In",
  prefixLength: { min: 26, max: 32 },
  source: "RemotePeers",
  interface: "eth*",
  peerType: "eBGP",
  communities: { values: ["65000:1", "65000:1:2"] },
  asPathPrefix: [65000, 65001],
  priority: 1024,
  operations: [
    { addCommunity: { value: "65000:2" } },
    { prependASPath: { prefix: [65000] } },
    { setPriority: { value: 512 } },
  ],
});

const secretKeyRef = { name: "bgp-secrets", key: "mesh" };

export const EXAMPLES: { readonly [K in KindName]: Document } = {
  BGPConfiguration: {
    apiVersion,
    kind: "BGPConfiguration",
    metadata: { name: "default" },
    spec: {
      logSeverityScreen: "Info",
      nodeToNodeMeshEnabled: true,
      asNumber: 64512,
      serviceLoadBalancerIPs: [{ cidr: "203.0.113.0/24" }],
      serviceExternalIPs: [{ cidr: "198.51.100.0/24" }],
      serviceClusterIPs: [{ cidr: "10.96.0.0/12" }, { cidr: "fd00:1::/108" }],
      serviceLoadBalancerAggregation: "Disabled",
      communities: [{ name: "fabric", value: "65000:100" }],
      prefixAdvertisements: [{ cidr: "192.168.0.0/16", communities: ["fabric", "65000:1:2"] }],
      listenPort: 179,
      nodeMeshPassword: { secretKeyRef },
      nodeMeshMaxRestartTime: "2m0s",
      bindMode: "NodeIP",
      ignoredInterfaces: ["docker0", "veth*"],
      localWorkloadPeeringIPV4: "169.254.1.9",
      localWorkloadPeeringIPV6: "fd00::9",
      programClusterRoutes: "EnabledNoEncapOnly",
      ipv4NormalRoutePriority: 1024,
      ipv6NormalRoutePriority: 1024,
    },
  },
  BGPFilter: {
    apiVersion,
    kind: "BGPFilter",
    metadata: { name: "fabric" },
    spec: {
      exportV4: [filterRule("10.0.0.0/8"), { action: "Reject" }],
      importV4: [filterRule("10.0.0.0/8")],
      exportV6: [filterRule("fd00::/26")],
      importV6: [{ ...filterRule("fd00::/26"), prefixLength: { max: 128 } }],
    },
  },
  BGPPeer: {
    apiVersion,
    kind: "BGPPeer",
    metadata: { name: "tor" },
    spec: {
      nodeSelector: "rack == '1'",
      peerIP: "[fd00::1]:1790",
      asNumber: 65001,
      localASNumber: 65002,
      nextHopMode: "Self",
      password: { secretKeyRef: { ...secretKeyRef, optional: true } },
      sourceAddress: "None",
      maxRestartTime: "120s",
      keepaliveTime: "30s",
      numAllowedLocalASNumbers: 2,
      ttlSecurity: 1,
      reachableBy: "fd00::ff",
      filters: ["fabric"],
      reversePeering: "Manual",
    },
  },
  BlockAffinity: {
    apiVersion,
    kind: "BlockAffinity",
    metadata: { name: "host1-10-65-0-0-26" },
    spec: { state: "confirmed", node: "host1", type: "host", cidr: "10.65.0.0/26", deleted: "false" },
  },
  CalicoNodeStatus: {
    apiVersion,
    kind: "CalicoNodeStatus",
    metadata: { name: "host1" },
    spec: { node: "host1", classes: ["Agent", "BGP", "Routes"], updatePeriodSeconds: 10 },
    status: {
      lastUpdated: "2026-01-01T00:00:00Z",
      agent: {
        birdV4: {
          state: "Ready",
          version: "1",
          routerID: "10.0.0.1",
          lastBootTime: "then",
          lastReconfigurationTime: "now",
        },
        birdV6: { state: "NotReady" },
      },
      bgp: {
        numberEstablishedV4: 1,
        numberNotEstablishedV4: 0,
        numberEstablishedV6: 0,
        numberNotEstablishedV6: 0,
        peersV4: [{ peerIP: "10.0.0.2", type: "NodeMesh", state: "Established", since: "12:00" }],
        peersV6: [],
      },
      routes: {
        routesV4: [
          {
            type: "FIB",
            destination: "10.65.0.0/26",
            gateway: "10.0.0.2",
            interface: "eth0",
            learnedFrom: { sourceType: "NodeMesh", peerIP: "10.0.0.2" },
          },
        ],
        routesV6: [],
      },
    },
  },
  ClusterInformation: {
    apiVersion,
    kind: "ClusterInformation",
    metadata: { name: "default" },
    spec: {
      clusterGUID: "0123456789abcdef0123456789abcdef",
      clusterType: "docker",
      calicoVersion: "v3.34.0",
      datastoreReady: true,
      variant: "Calico",
    },
  },
  FelixConfiguration: {
    apiVersion,
    kind: "FelixConfiguration",
    metadata: { name: "workers" },
    spec: {
      nodeSelector: "role == 'worker'",
      defaultEndpointToHostAction: "Accept",
      failsafeInboundHostPorts: [{ protocol: "TCP", port: 22, net: "10.0.0.0/8" }, { port: 179 }],
      failsafeOutboundHostPorts: [],
      kubeNodePortRanges: ["30000:32767", 8080],
      routeTableRanges: [{ min: 1, max: 250 }],
      natPortRange: "32768:65535",
      natOutgoingAddress: "10.0.0.1",
      iptablesRefreshInterval: "1m30s",
      iptablesMarkMask: 0xffff0000,
      logActionRateLimit: "10/second",
      bpfConntrackTimeouts: { tcpEstablished: "Auto" },
      healthTimeoutOverrides: [{ name: "calc", timeout: "90s" }],
    },
  },
  GlobalNetworkPolicy: {
    apiVersion,
    kind: "GlobalNetworkPolicy",
    metadata: { name: "allow-web" },
    spec: { ...policySpec, namespaceSelector: "stage == 'prod'", doNotTrack: true, applyOnForward: true },
  },
  GlobalNetworkSet: {
    apiVersion,
    kind: "GlobalNetworkSet",
    metadata: { name: "partners", labels: { role: "partner" } },
    spec: { nets: ["198.51.100.0/24", "203.0.113.9", "10.0.0.1/8", "2001:db8::/32"] },
  },
  HostEndpoint: {
    apiVersion,
    kind: "HostEndpoint",
    metadata: { name: "host1-eth0", annotations: { "qos.projectcalico.org/dscp": "EF" } },
    spec: {
      node: "host1",
      interfaceName: "eth0",
      expectedIPs: ["10.0.0.1", "fd00::1"],
      profiles: ["hosts"],
      ports: [{ name: "ssh", protocol: "TCP", port: 22 }],
    },
  },
  IPAMBlock: {
    apiVersion,
    kind: "IPAMBlock",
    metadata: { name: "10-65-0-0-30" },
    spec: {
      cidr: "10.65.0.0/30",
      affinity: "host:host1",
      affinityClaimTime: "2026-01-01T00:00:00Z",
      allocations: [0, null, null, 1],
      unallocated: [1, 2],
      attributes: [
        { handle_id: "net.c1", secondary: { node: "host1" }, alternateOwnerAttrs: { node: "host2" } },
        { releasedAt: "2026-01-01T00:00:00Z" },
      ],
      sequenceNumber: 1735689600000000000,
      sequenceNumberForAllocation: { "0": 1735689600000000000 },
      deleted: false,
      strictAffinity: false,
      hostAffinity: "host1",
    },
  },
  IPAMConfig: {
    apiVersion,
    kind: "IPAMConfig",
    metadata: { name: "default" },
    spec: {
      strictAffinity: false,
      autoAllocateBlocks: true,
      maxBlocksPerHost: 0,
      kubeVirtVMAddressPersistence: "Enabled",
      ipCooldownSeconds: 0,
    },
  },
  IPAMConfiguration: {
    apiVersion,
    kind: "IPAMConfiguration",
    metadata: { name: "default" },
    spec: {
      strictAffinity: true,
      maxBlocksPerHost: 4,
      autoAllocateBlocks: true,
      kubeVirtVMAddressPersistence: "Disabled",
      ipCooldownSeconds: 60,
    },
  },
  IPAMHandle: {
    apiVersion,
    kind: "IPAMHandle",
    metadata: { name: "net.c1" },
    spec: { handleID: "net.c1", block: { "10.65.0.0/26": 1 }, deleted: false },
  },
  IPPool: {
    apiVersion,
    kind: "IPPool",
    metadata: { name: "default-ipv4-ippool" },
    spec: {
      cidr: "192.168.0.0/16",
      blockSize: 26,
      ipipMode: "CrossSubnet",
      vxlanMode: "Never",
      natOutgoing: true,
      disabled: false,
      disableBGPExport: false,
      nodeSelector: "all()",
      namespaceSelector: "stage == 'prod'",
      allowedUses: ["Workload"],
      assignmentMode: "Manual",
    },
    status: { conditions },
  },
  IPReservation: {
    apiVersion,
    kind: "IPReservation",
    metadata: { name: "gateways" },
    spec: { reservedCIDRs: ["192.168.0.0/30", "192.168.0.9", "fd00::/126"] },
  },
  KubeControllersConfiguration: {
    apiVersion,
    kind: "KubeControllersConfiguration",
    metadata: { name: "default" },
    spec: {
      logSeverityScreen: "Info",
      healthChecks: "Enabled",
      etcdV3CompactionPeriod: "10m",
      prometheusMetricsPort: 9094,
      debugProfilePort: 6060,
      controllers: {
        node: {
          reconcilerPeriod: "5m",
          syncLabels: "Enabled",
          leakGracePeriod: "15m",
          hostEndpoint: {
            autoCreate: "Enabled",
            createDefaultHostEndpoint: "Disabled",
            templates: [
              {
                generateName: "data",
                interfaceCIDRs: ["10.0.0.0/8"],
                interfacePattern: "^eth",
                labels: { a: "b" },
                annotations: { c: "d" },
                nodeSelector: "all()",
              },
            ],
          },
        },
        policy: { reconcilerPeriod: "5m" },
        workloadEndpoint: { reconcilerPeriod: "5m" },
        serviceAccount: { reconcilerPeriod: "5m" },
        namespace: { reconcilerPeriod: "5m" },
        loadBalancer: { assignIPs: "RequestedServicesOnly" },
        migration: { policyNameMigrator: "Enabled" },
      },
    },
    status: { environmentVars: { LOG_LEVEL: "info" }, runningConfig: { healthChecks: "Enabled" } },
  },
  LiveMigration: {
    apiVersion,
    kind: "LiveMigration",
    metadata: { name: "vm1", namespace: "openstack" },
    spec: {
      source: { selector: "vm == '1'" },
      destination: {
        workloadEndpoint: { orchestrator: "openstack", workload: "w", endpoint: "e", node: "host2" },
      },
    },
  },
  NetworkPolicy: {
    apiVersion,
    kind: "NetworkPolicy",
    metadata: { name: "allow-web", namespace: "shop" },
    spec: policySpec,
  },
  NetworkSet: {
    apiVersion,
    kind: "NetworkSet",
    metadata: { name: "partners", namespace: "shop", labels: { role: "partner" } },
    spec: { nets: ["198.51.100.0/24"] },
  },
  Node: {
    apiVersion,
    kind: "Node",
    metadata: { name: "host1" },
    spec: {
      bgp: {
        asNumber: 65001,
        ipv4Address: "10.0.0.1/24",
        ipv6Address: "fd00::1/64",
        ipv4IPIPTunnelAddr: "192.168.0.1",
        routeReflectorClusterID: "1.0.0.1",
      },
      ipv4VXLANTunnelAddr: "192.168.0.2",
      vxlanTunnelMACAddr: "66:00:00:00:00:01",
      ipv6VXLANTunnelAddr: "fd01::2",
      vxlanTunnelMACAddrV6: "66:00:00:00:00:02",
      orchRefs: [{ nodeName: "host1", orchestrator: "k8s" }],
      wireguard: { interfaceIPv4Address: "192.168.0.3", interfaceIPv6Address: "fd01::3" },
      addresses: [
        { address: "10.0.0.1/24", type: "CalicoNodeIP" },
        { address: "10.0.0.1", type: "InternalIP" },
      ],
      interfaces: [{ name: "eth0", addresses: ["10.0.0.1/24"] }],
    },
    status: { wireguardPublicKey: "a=", wireguardPublicKeyV6: "b=", podCIDRs: ["10.244.0.0/24"] },
  },
  Profile: {
    apiVersion,
    kind: "Profile",
    metadata: { name: "cal-net1" },
    spec: {
      labelsToApply: { cal_net1: "" },
      ingress: [{ action: "Allow", protocol: "TCP", source: { selector: "has(cal_net1)" } }],
      egress: [{ action: "Allow" }],
    },
  },
  StagedGlobalNetworkPolicy: {
    apiVersion,
    kind: "StagedGlobalNetworkPolicy",
    metadata: { name: "platform.allow-web" },
    spec: {
      ...policySpec,
      egress: [],
      types: ["Ingress"],
      stagedAction: "Set",
      preDNAT: true,
      applyOnForward: true,
      namespaceSelector: "all()",
    },
  },
  StagedKubernetesNetworkPolicy: {
    apiVersion,
    kind: "StagedKubernetesNetworkPolicy",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      stagedAction: "Set",
      podSelector: {
        matchLabels: { app: "web" },
        matchExpressions: [{ key: "x", operator: "In", values: ["1"] }],
      },
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          ports: [{ protocol: "TCP", port: 80, endPort: 90 }, { port: "http" }],
          from: [
            { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } },
            { podSelector: {}, namespaceSelector: {} },
          ],
        },
      ],
      egress: [{ to: [{ podSelector: { matchLabels: { app: "db" } } }] }],
    },
  },
  StagedNetworkPolicy: {
    apiVersion,
    kind: "StagedNetworkPolicy",
    metadata: { name: "allow-web", namespace: "shop" },
    spec: { ...policySpec, stagedAction: "Delete" },
  },
  Tier: {
    apiVersion,
    kind: "Tier",
    metadata: { name: "platform" },
    spec: { order: 500, defaultAction: "Pass" },
    status: { conditions },
  },
  WorkloadEndpoint: {
    apiVersion,
    kind: "WorkloadEndpoint",
    metadata: { name: "host1-k8s-web--1-eth0", namespace: "shop", labels: { role: "web" } },
    spec: {
      orchestrator: "k8s",
      workload: "",
      node: "host1",
      containerID: "abc",
      pod: "web-1",
      endpoint: "eth0",
      serviceAccountName: "robot",
      ipNetworks: ["10.65.0.2/32", "fd00::2/128"],
      ipNATs: [{ internalIP: "10.65.0.2", externalIP: "203.0.113.2" }],
      ipv4Gateway: "169.254.1.1",
      ipv6Gateway: "fe80::1",
      profiles: ["kns.shop"],
      interfaceName: "cali1234567890a",
      mac: "ee:ee:ee:ee:ee:ee",
      ports: [{ name: "http", protocol: "TCP", port: 8080, hostPort: 80, hostIP: "10.0.0.1" }],
      allowSpoofedSourcePrefixes: ["10.9.0.0/16"],
      qosControls: {
        ingressBandwidth: 1_000_000,
        ingressBurst: 2_000_000,
        ingressPeakrate: 3_000_000,
        ingressMinburst: 2_000,
        ingressPacketRate: 100,
        ingressPacketBurst: 10,
        ingressMaxConnections: 5,
        egressBandwidth: 1_000_000,
        egressBurst: 2_000_000,
        egressPeakrate: 3_000_000,
        egressMinburst: 2_000,
        egressPacketRate: 100,
        egressPacketBurst: 10,
        egressMaxConnections: 5,
        dscp: "EF",
      },
    },
  },
};

/** A copy of a kind's example with fields set (or, as undefined, taken away) by path: `{"spec.cidr": "x"}`. */
export function changed(kind: KindName, changes: Record<string, unknown>): Document {
  const document = structuredClone(EXAMPLES[kind]);
  for (const [path, value] of Object.entries(changes)) {
    const steps = path.split(".");
    const last = steps.pop()!;
    let node = document;
    for (const step of steps) node = node[step] ??= {};
    if (value === undefined) delete node[last];
    else node[last] = value;
  }
  return document;
}
