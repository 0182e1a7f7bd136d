import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { key } from "../../../../datastore/key.ts";
import { IpAllocator } from "../../../../ipam/allocator.ts";
import { Cluster } from "../harness.ts";

describe("calctl ipam", () => {
  let cluster: Cluster;
  let allocator: IpAllocator;
  let folder: string;
  let address: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "calctl-"));
    cluster = new Cluster();
    await cluster.datastore.create(key("ClusterInformation", "default"), {
      kind: "ClusterInformation",
      apiVersion: "projectcalico.org/v3",
      metadata: { name: "default" },
      spec: { clusterGUID: "guid", datastoreReady: true },
    });
    const { code, stderr } = await cluster.calctl(["create", "-f", "-"], {
      stdin: `
- {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p}, spec: {cidr: 192.168.0.0/16}}
- {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: host1}, spec: {bgp: {ipv4Address: 10.0.0.1/24}}}
`,
    });
    assert.equal(code, 0, stderr);
    allocator = new IpAllocator(cluster.datastore);
    const { ipv4 } = await allocator.autoAssign({
      node: "host1",
      use: "Workload",
      num4: 1,
      handle: "web",
      attributes: { note: "x" },
    });
    address = ipv4[0]!.ip;
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const ipam = (...argv: string[]) => cluster.calctl(["ipam", ...argv], { cwd: folder });

  it("shows pools and blocks in calicoctl's layout", async () => {
    const { stdout } = await ipam("show", "--show-blocks");
    const lines = stdout.split("\n");
    assert.match(
      lines[1]!,
      /^\| GROUPING \| +CIDR +\| IPS TOTAL \| IPS IN USE \| IPS RESERVED \| +IPS FREE +\|$/,
    );
    assert.match(
      lines[3]!,
      /^\| IP Pool {2}\| 192\.168\.0\.0\/16 +\| +65536 \| 1 \(0%\) +\| 0 \(0%\) +\| 65535 \(100%\) \|$/,
    );
    assert.match(
      lines[4]!,
      /^\| Block {4}\| 192\.168\.\d+\.\d+\/26 +\| +64 \| 1 \(2%\) +\| 0 \(0%\) +\| 63 \(98%\) +\|$/,
    );
    assert.equal(new Set(lines.slice(0, 6).map(line => line.length)).size, 1);
  });
  it("shows the same as JSON", async () => {
    const [pool] = JSON.parse((await ipam("show", "-o", "json")).stdout);
    assert.deepEqual(pool, {
      grouping: "IP Pool",
      cidr: "192.168.0.0/16",
      total: 65536,
      inUse: 1,
      reserved: 0,
      free: 65535,
    });
  });
  it("counts the addresses of an IPv6 pool in five digits", async () => {
    await cluster.calctl(["create", "-f", "-"], {
      stdin:
        "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: six}, spec: {cidr: 'fd00::/64'}}",
    });
    assert.match((await ipam("show")).stdout, /\| fd00::\/64 +\| 1\.8447e\+19 \|/);
  });
  it("tells whose an address is", async () => {
    assert.match(
      (await ipam("show", "--ip", address)).stdout,
      new RegExp(
        `^IP ${address} is in use\nAttributes:\n[\\s\\S]*  note: x\n[\\s\\S]*  node: host1\n  handle: web\n`,
      ),
    );
    assert.equal((await ipam("show", "--ip", "192.168.255.1")).stdout, "IP 192.168.255.1 is not assigned\n");
    assert.match((await ipam("show", "--ip", "300.1.1.1")).stderr, /is not an IP address/);
  });
  it("shows the configuration, and changes it", async () => {
    assert.deepEqual(await ipam("configure", "--strictaffinity=true", "--max-blocks-per-host=4"), {
      code: 0,
      stdout: "Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n",
      stderr: "",
    });
    const { stdout } = await ipam("show", "--show-configuration");
    assert.match(stdout, /\| +PROPERTY +\| VALUE \|/);
    assert.match(stdout, /\| StrictAffinity +\| true +\|/);
    assert.match(stdout, /\| MaxBlocksPerHost +\| 4 +\|/);
  });
  for (const [argv, complaint] of [
    [["configure"], /nothing to configure/],
    [["configure", "--strictaffinity=maybe"], /expected true or false/],
    [["configure", "--max-blocks-per-host=4"], /needs strictAffinity/],
    [["configure", "--ip-cooldown-seconds=9999"], /from 0 to 1200/],
    [["release"], /give either --ip or --from-report/],
    [["frob"], /unknown command 'frob'/],
  ] as const)
    it(`refuses ${argv.join(" ")}`, async () => {
      const { code, stderr } = await ipam(...argv);
      assert.equal(code, 1);
      assert.match(stderr, complaint);
    });

  it("releases an address", async () => {
    assert.equal((await ipam("release", "--ip", address)).stdout, "Successfully released IP address\n");
    const { code, stderr } = await ipam("release", "--ip", address);
    assert.deepEqual([code, stderr], [1, `IP address ${address} is not assigned\n`]);
  });
  it("finds leaks, reports them, and releases what the reports agree on", async () => {
    const { stdout } = await ipam("check", "--show-problem-ips", "-o", "one.json");
    assert.match(
      stdout,
      new RegExp(
        `  ${address} is assigned under handle web, but nothing uses it\n[\\s\\S]*Check complete; found 1 problems\\.\n$`,
      ),
    );
    await ipam("check", "-o", "two.json");
    const reports = ["--from-report", "one.json", "--from-report", "two.json"];
    assert.match((await ipam("release", ...reports)).stderr, /the datastore is not locked/);
    assert.equal((await cluster.calctl(["datastore", "migrate", "lock"])).stdout, "Datastore locked.\n");
    assert.equal((await ipam("release", ...reports)).stdout, "Successfully released 1 IP address(es)\n");
    assert.equal(JSON.parse((await ipam("check", "-o", "json")).stdout).problems.length, 0);
  });
  it("does not release after another cluster's report", async () => {
    await ipam("check", "-o", "report.json");
    const { value, key: own, revision } = await cluster.datastore.get(key("ClusterInformation", "default"));
    await cluster.datastore.update(
      own,
      { ...value, spec: { ...value.spec, clusterGUID: "other" } },
      revision,
    );
    assert.match(
      (await ipam("release", "--from-report", "report.json")).stderr,
      /the report is of cluster guid, this is other/,
    );
    assert.match((await ipam("release", "--from-report", "nope.json")).stderr, /cannot read nope\.json/);
  });
  it("splits a pool while the datastore is locked, and addresses stay", async () => {
    assert.match((await ipam("split", "2", "--name", "p")).stderr, /the datastore is not locked/);
    await cluster.calctl(["datastore", "migrate", "lock"]);
    assert.equal(
      (await ipam("split", "2", "--name", "p")).stdout,
      "Successfully split the pool into split-p-0, split-p-1\n",
    );
    assert.equal(
      (await cluster.calctl(["get", "ippool", "-o", "custom-columns=NAME,CIDR,DISABLED"])).stdout,
      "NAME        CIDR               DISABLED\nsplit-p-0   192.168.0.0/17     false\nsplit-p-1   192.168.128.0/17   false\n\n",
    );
    assert.match((await ipam("show", "--ip", address)).stdout, /is in use/);
    assert.equal((await cluster.calctl(["datastore", "migrate", "unlock"])).stdout, "Datastore unlocked.\n");
  });
  it("refuses a split that cannot be", async () => {
    await cluster.calctl(["datastore", "migrate", "lock"]);
    assert.match((await ipam("split", "3", "--name", "p")).stderr, /power of two/);
    assert.match((await ipam("split", "2", "--name", "q")).stderr, /there is no pool q/);
    assert.match((await ipam("split", "2048", "--cidr", "192.168.0.0/16")).stderr, /no 2048 parts/);
  });
});
