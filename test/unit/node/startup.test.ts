import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CalicoClient } from "../../../datastore/client.ts";
import type { Value } from "../../../datastore/datastore.ts";
import { DatastoreError } from "../../../datastore/errors.ts";
import { key } from "../../../datastore/key.ts";
import { type MemoryDatastore, memoryDatastore } from "../../../datastore/memory.ts";
import { parseInterfaceAddress } from "../../../net/cidr.ts";
import { type HostLock, lockHost } from "../../../node/host-lock.ts";
import {
  CHALLENGE_ANNOTATION,
  contestNodeName,
  defendNodeName,
  IDENTITY_ANNOTATION,
  machineIdentity,
} from "../../../node/identity.ts";
import { determineNodeName } from "../../../node/node-name.ts";
import { type StartedNode, startNode } from "../../../node/startup.ts";
import { ManualClock } from "../ipam/cluster.ts";

class WaitingClock extends ManualClock {
  override async sleep(ms = 0): Promise<void> {
    this.advance(ms);
    await super.sleep();
  }
}

describe("node start-up", () => {
  let folder: string;
  let datastore: MemoryDatastore;
  let clock: WaitingClock;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "calyx-node-"));
    datastore = memoryDatastore();
    clock = new WaitingClock();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function start(
    name: string,
    env: Record<string, string> = {},
    address: string = "10.0.0.1/24",
  ): Promise<StartedNode> {
    return startNode({
      datastore,
      env: { CALICO_NODENAME_FILE: join(folder, name, "nodename"), ...env },
      interfaces: () => [{ name: "eth0", up: true, addresses: [parseInterfaceAddress(address)!] }],
      clock,
      osHostName: name,
      identity: `machine-of-${name}`,
    });
  }

  async function specs(kind: "IPPool" | "FelixConfiguration" | "Tier"): Promise<Record<string, Value>> {
    const { entries } = await datastore.list({ kind });
    return Object.fromEntries(entries.map(entry => [entry.key.name, entry.value.spec]));
  }

  it("makes an empty datastore a cluster, and the host its first node", async () => {
    const { nodeName, node } = await start("Host1");
    assert.equal(nodeName, "host1");
    assert.deepEqual(node.spec, {
      bgp: { ipv4Address: "10.0.0.1/24" },
      addresses: [{ address: "10.0.0.1/24", type: "CalicoNodeIP" }],
    });
    const information = await datastore.get(key("ClusterInformation", "default"));
    assert.equal(information.value.spec.datastoreReady, true);
    assert.equal(information.value.spec.clusterType, "bgp");
    assert.deepEqual(Object.keys(await specs("Tier")), ["default", "kube-admin", "kube-baseline"]);
    const pools = await specs("IPPool");
    assert.equal(pools["default-ipv4-ippool"].cidr, "192.168.0.0/16");
    assert.equal(pools["default-ipv4-ippool"].natOutgoing, true);
    assert.match(pools["default-ipv6-ippool"].cidr, /^fd[0-9a-f:]+\/48$/);
    const configurations = await specs("FelixConfiguration");
    assert.deepEqual(Object.keys(configurations), ["default", "node.host1"]);
    assert.equal(readFileSync(join(folder, "Host1", "nodename"), "utf8"), "host1");
  });

  it("writes nothing the second time", async () => {
    await start("host1");
    const writes: string[] = [];
    datastore.store.onOperation = (operation, path) => {
      if (operation === "update" || operation === "delete") writes.push(`${operation} ${path}`);
    };
    const { node } = await start("host1");
    assert.deepEqual(writes, []);
    assert.equal(node.metadata.name, "host1");
  });

  it("keeps what others wrote into the Node", async () => {
    const client = new CalicoClient(datastore);
    await client.create({
      kind: "Node",
      metadata: { name: "host1", labels: { rack: "1" }, annotations: { mine: "x" } },
      spec: {
        bgp: {
          ipv4Address: "10.0.0.1/24",
          ipv4IPIPTunnelAddr: "192.168.0.1",
          routeReflectorClusterID: "1.0.0.1",
        },
        addresses: [{ address: "10.0.0.9", type: "InternalIP" }],
      },
    });
    const { node } = await start("host1", { AS: "65001", CALICO_K8S_NODE_REF: "k1" });
    assert.equal(node.metadata.labels?.["rack"], "1");
    assert.equal(node.metadata.annotations?.["mine"], "x");
    assert.deepEqual(node.spec.bgp, {
      ipv4IPIPTunnelAddr: "192.168.0.1",
      routeReflectorClusterID: "1.0.0.1",
      ipv4Address: "10.0.0.1/24",
      asNumber: 65001,
    });
    assert.deepEqual(
      node.spec.addresses?.map(({ type }) => type),
      ["CalicoNodeIP", "InternalIP"],
    );
    assert.deepEqual(node.spec.orchRefs, [{ nodeName: "k1", orchestrator: "k8s" }]);
  });

  it("takes another pool where the host's own network is in the usual one", async () => {
    await start("host1", {}, "192.168.56.104/24");
    assert.equal((await specs("IPPool"))["default-ipv4-ippool"].cidr, "172.16.0.0/16");
  });

  it("makes the pools that the variables describe, or none", async () => {
    await start("host1", {
      CALICO_IPV4POOL_CIDR: "10.65.0.0/16",
      CALICO_IPV4POOL_IPIP: "Always",
      CALICO_IPV6POOL_CIDR: "none",
    });
    const pools = await specs("IPPool");
    assert.deepEqual(Object.keys(pools), ["default-ipv4-ippool"]);
    assert.equal(pools["default-ipv4-ippool"].ipipMode, "Always");
    datastore = memoryDatastore();
    await start("host1", { NO_DEFAULT_POOLS: "true" });
    assert.deepEqual(await specs("IPPool"), {});
  });

  it("leaves a family alone that has a pool", async () => {
    const client = new CalicoClient(datastore);
    await client.create({ kind: "IPPool", metadata: { name: "mine" }, spec: { cidr: "10.1.0.0/16" } });
    await start("host1");
    assert.deepEqual(Object.keys(await specs("IPPool")), ["default-ipv6-ippool", "mine"]);
  });

  it("works for many hosts at once", async () => {
    const hosts = Array.from({ length: 8 }, (_, i) => start(`host${i}`, {}, `10.0.0.${i + 1}/24`));
    assert.equal(new Set((await Promise.all(hosts)).map(({ nodeName }) => nodeName)).size, 8);
    assert.equal(Object.keys(await specs("IPPool")).length, 2);
    assert.equal((await datastore.list({ kind: "Node" })).entries.length, 8);
  });

  it("refuses an address that another node has, unless told not to look", async () => {
    await start("host1");
    await assert.rejects(start("host2"), { code: "ADDRESS_IN_USE", message: /node host1 has our address/ });
    assert.equal((await start("host2", { DISABLE_NODE_IP_CHECK: "true" })).nodeName, "host2");
  });

  it("needs no address for policy alone", async () => {
    const options = { CALICO_NETWORKING_BACKEND: "none" };
    const { node } = await start("host1", options, "127.0.0.1/8");
    assert.equal(node.spec.bgp, undefined);
    await assert.rejects(start("host2", {}, "127.0.0.1/8"), { code: "NO_ADDRESS" });
  });

  it("waits for the datastore when told to, and fails at once otherwise", async () => {
    let attempts = 0;
    datastore.store.onOperation = () => {
      if (++attempts < 4) throw new DatastoreError("UNAVAILABLE");
    };
    assert.equal((await start("host1", { WAIT_FOR_DATASTORE: "true" })).nodeName, "host1");
    attempts = 0;
    await assert.rejects(start("host1"), { code: "UNAVAILABLE" });
  });

  describe("the node's name", () => {
    const file = () => join(folder, "nodename");
    const sources = (nodeName?: string, hostName?: string) => ({ nodeName, hostName, nodenameFile: file() });

    it("is NODENAME, else what is written, else HOSTNAME, else the system's, in lower case", () => {
      assert.equal(determineNodeName(sources(undefined, undefined), "OS.example"), "os.example");
      assert.equal(determineNodeName(sources(undefined, "Host"), "os"), "host");
      writeFileSync(file(), "written\n");
      assert.equal(determineNodeName(sources(undefined, "Host"), "os"), "written");
      assert.equal(determineNodeName(sources("Given", "Host"), "os"), "given");
    });

    it("must be able to name a node", () => {
      for (const name of ["a_b", "-a", "a..b", "a/b", "x".repeat(254)]) {
        assert.throws(() => determineNodeName(sources(name)), { code: "INVALID_ENVIRONMENT" });
      }
    });
  });

  describe("two machines with one name", () => {
    const contest = (identity: string) =>
      contestNodeName({ datastore, nodeName: "host1", identity, clock, logger: undefined });
    const annotations = async () =>
      (await datastore.get(key("Node", "host1"))).value.metadata.annotations as Record<string, string>;

    it("are found out when the first is running: the second is refused, the first undisturbed", async () => {
      await start("host1");
      const stop = new AbortController();
      const lost: string[] = [];
      const defender = defendNodeName({
        datastore,
        nodeName: "host1",
        identity: "machine-of-host1",
        logger: undefined,
        onLost: holder => lost.push(holder),
        signal: stop.signal,
      });
      await assert.rejects(contest("another"), { code: "NAME_IN_USE", message: /NODENAME/ });
      assert.equal((await annotations())[IDENTITY_ANNOTATION], "machine-of-host1");
      assert.equal((await annotations())[CHALLENGE_ANNOTATION], undefined);
      stop.abort();
      await defender;
      assert.deepEqual(lost, []);
    });

    it("are one after the other when nobody answers: the second takes over, and the first is told", async () => {
      await start("host1");
      const told = Promise.withResolvers<string>();
      const stop = new AbortController();
      await contest("another");
      const { node, environment } = await startNode({
        datastore,
        env: { CALICO_NODENAME_FILE: join(folder, "other", "nodename"), NODENAME: "host1" },
        interfaces: () => [{ name: "eth0", up: true, addresses: [parseInterfaceAddress("10.0.0.1/24")!] }],
        clock,
        identity: "another",
      });
      assert.equal(environment.nodeName, "host1");
      assert.equal(node.metadata.annotations?.[IDENTITY_ANNOTATION], "another");
      assert.equal(node.metadata.annotations?.[CHALLENGE_ANNOTATION], undefined);
      const defender = defendNodeName({
        datastore,
        nodeName: "host1",
        identity: "machine-of-host1",
        logger: undefined,
        onLost: told.resolve,
        signal: stop.signal,
      });
      assert.equal(await told.promise, "another");
      stop.abort();
      await defender;
    });

    it("have different identities, which outlive restarts but not reboots", () => {
      const a = join(folder, "a", "nodename");
      assert.equal(machineIdentity(a, "boot1"), machineIdentity(a, "boot1"));
      assert.notEqual(machineIdentity(a, "boot1"), machineIdentity(a, "boot2"));
      assert.notEqual(machineIdentity(a, "boot1"), machineIdentity(join(folder, "b", "nodename"), "boot1"));
    });
  });

  it("lets one agent of a kind run on a host", () => {
    const first: HostLock = lockHost(folder, "felix");
    assert.throws(() => lockHost(folder, "felix"), { code: "ALREADY_RUNNING" });
    using _ = lockHost(folder, "bgp");
    first[Symbol.dispose]();
    using __ = lockHost(folder, "felix");
  });
});
