import assert from "node:assert/strict";
import { readEnvironment } from "../../../node/environment.ts";

describe("the environment", () => {
  it("has Calico's defaults, and empty counts as unset", () => {
    const defaults = readEnvironment({});
    assert.deepEqual(readEnvironment({ IP: "", AS: " ", NODENAME: "", CALICO_IPV4POOL_CIDR: "" }), defaults);
    assert.equal(defaults.nodenameFile, "/var/lib/calico/nodename");
    assert.deepEqual(defaults.ip, { kind: "unset" });
    assert.equal(defaults.backend, "bird");
    assert.deepEqual(defaults.pool4, {
      cidr: undefined,
      blockSize: 26,
      ipip: "Never",
      vxlan: "Never",
      natOutgoing: true,
      nodeSelector: "all()",
      disableBgpExport: false,
    });
    assert.equal(defaults.pool6.natOutgoing, false);
    assert.equal(defaults.pool6.blockSize, 122);
  });

  it("is read with its types", () => {
    const read = readEnvironment({
      NODENAME: "n1",
      WAIT_FOR_DATASTORE: "true",
      IP: "10.0.0.1/24",
      IP6: "autodetect",
      IP6_AUTODETECTION_METHOD: "interface=eth.*",
      AS: "1.10",
      DISABLE_NODE_IP_CHECK: "1",
      CALICO_IPV4POOL_CIDR: "10.1.0.0/16",
      CALICO_IPV4POOL_BLOCK_SIZE: "28",
      CALICO_IPV4POOL_IPIP: "cross-subnet",
      CALICO_IPV4POOL_NAT_OUTGOING: "false",
      CALICO_IPV6POOL_CIDR: "none",
      CLUSTER_TYPE: "k8s,kubeadm",
      CALICO_NETWORKING_BACKEND: "vxlan",
    });
    assert.equal(read.nodeName, "n1");
    assert.equal(read.waitForDatastore, true);
    assert.deepEqual(read.ip, {
      kind: "literal",
      address: { ip: "10.0.0.1", prefixLength: 24 },
      bare: false,
    });
    assert.deepEqual(read.ip6, { kind: "autodetect" });
    assert.equal(read.detection6.kind, "interface");
    assert.equal(read.asNumber, 65546);
    assert.equal(read.checkAddresses, false);
    assert.equal(read.pool4.cidr, "10.1.0.0/16");
    assert.equal(read.pool4.blockSize, 28);
    assert.equal(read.pool4.ipip, "CrossSubnet");
    assert.equal(read.pool4.natOutgoing, false);
    assert.equal(read.pool6.cidr, "none");
    assert.deepEqual(read.clusterTypes, ["k8s", "kubeadm"]);
  });

  const refused: [string, string][] = [
    ["IP", "10.0.0.300"],
    ["IP", "fd00::1"],
    ["IP6", "10.0.0.1"],
    ["AS", "0"],
    ["AS", "4294967296"],
    ["AS", "1.2.3"],
    ["AS", "65000x"],
    ["WAIT_FOR_DATASTORE", "maybe"],
    ["IP_AUTODETECTION_METHOD", "guess"],
    ["CALICO_IPV4POOL_CIDR", "10.0.0.0"],
    ["CALICO_IPV4POOL_CIDR", "10.0.0.0/27"],
    ["CALICO_IPV4POOL_CIDR", "fd00::/64"],
    ["CALICO_IPV4POOL_BLOCK_SIZE", "19"],
    ["CALICO_IPV6POOL_BLOCK_SIZE", "64"],
    ["CALICO_IPV4POOL_IPIP", "sometimes"],
    ["CALICO_NETWORKING_BACKEND", "quagga"],
  ];
  for (const [variable, value] of refused) {
    it(`refuses ${variable}=${value}`, () => {
      assert.throws(() => readEnvironment({ [variable]: value }), {
        code: "INVALID_ENVIRONMENT",
        message: new RegExp(`^${variable}: "${value}" is not `),
      });
    });
  }

  it("refuses two encapsulations for one pool", () => {
    const both = { CALICO_IPV4POOL_IPIP: "Always", CALICO_IPV4POOL_VXLAN: "Always" };
    assert.throws(() => readEnvironment(both), { code: "INVALID_ENVIRONMENT" });
  });
});
