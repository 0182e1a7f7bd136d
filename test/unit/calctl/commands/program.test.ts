import assert from "node:assert/strict";
import { DatastoreError } from "../../../../datastore/errors.ts";
import { key } from "../../../../datastore/key.ts";
import { Cluster } from "../harness.ts";

async function withClusterVersion(calicoVersion: string): Promise<Cluster> {
  const cluster = new Cluster();
  await cluster.datastore.create(key("ClusterInformation", "default"), {
    kind: "ClusterInformation",
    apiVersion: "projectcalico.org/v3",
    metadata: { name: "default" },
    spec: { calicoVersion, clusterType: "calyx,bgp", clusterGUID: "guid", datastoreReady: true },
  });
  return cluster;
}

describe("calctl", () => {
  it("lists its commands, and fails, where none is given", async () => {
    const { code, stderr } = await new Cluster().calctl([]);
    assert.equal(code, 1);
    for (const command of ["apply", "get", "ipam", "version"])
      assert.match(stderr, new RegExp(`^  ${command}\\b`, "m"));
  });
  it("explains itself and each command, with examples", async () => {
    const cluster = new Cluster();
    assert.match((await cluster.calctl(["--help"])).stdout, /calctl COMMAND/);
    for (const argv of [
      ["get", "--help"],
      ["help", "get"],
      ["get", "-h"],
    ]) {
      const { code, stdout } = await cluster.calctl(argv);
      assert.equal(code, 0);
      assert.match(stdout, /Usage: calctl get[\s\S]*--all-namespaces[\s\S]*Examples:\n {2}# /);
    }
    assert.match((await cluster.calctl(["ipam", "show", "--help"])).stdout, /Usage: calctl ipam show/);
    for (const name of [
      "apply",
      "create",
      "replace",
      "delete",
      "patch",
      "label",
      "validate",
      "convert",
      "version",
    ])
      assert.match(
        (await cluster.calctl([name, "--help"])).stdout,
        new RegExp(`Usage: calctl ${name}[\\s\\S]*Examples:`),
      );
  });
  it("guesses what was meant", async () => {
    const { code, stderr } = await new Cluster().calctl(["aply", "-f", "x"]);
    assert.equal(code, 1);
    assert.match(stderr, /unknown command 'aply'[\s\S]*Did you mean apply/);
  });
  it("takes its own options before the command and after it", async () => {
    for (const argv of [
      ["-l", "debug", "get", "node"],
      ["get", "node", "-l", "debug"],
    ])
      assert.equal((await new Cluster().calctl(argv)).code, 0);
  });
  it("says in one sentence that the datastore is down", async () => {
    const cluster = new Cluster();
    cluster.datastore.store.onOperation = () => {
      throw new DatastoreError("UNAVAILABLE", {
        message: "cannot reach etcd at http://127.0.0.1:2379: connection refused",
      });
    };
    for (const argv of [
      ["get", "node"],
      ["ipam", "show"],
      ["delete", "node", "x"],
      ["label", "node", "x", "a=b"],
    ]) {
      const { code, stdout, stderr } = await cluster.calctl(argv);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^[^\n]*cannot reach etcd at http:\/\/127\.0\.0\.1:2379: connection refused\n$/);
    }
  });

  describe("version", () => {
    it("prints client and cluster", async () => {
      const { code, stdout } = await (await withClusterVersion("v3.31.0")).calctl(["version"]);
      assert.equal(code, 0);
      assert.match(
        stdout,
        /^Client Version: {4}v\d+\.\d+\.\d+\nGit commit: {8}\S+\nCluster Version: {3}v3\.31\.0\nCluster Type: {6}calyx,bgp\n$/,
      );
    });
    it("prints what is known of a cluster that is not set up", async () => {
      assert.match(
        (await new Cluster().calctl(["version"])).stdout,
        /Cluster Version: {3}unknown\nCluster Type: {6}unknown\n$/,
      );
    });
    it("asks nobody with --client", async () => {
      const cluster = new Cluster();
      assert.equal((await cluster.calctl(["version", "--client"])).code, 0);
      assert.equal(cluster.opened, 0);
    });
    it("fails, but prints its own, where the cluster does not answer", async () => {
      const cluster = new Cluster();
      cluster.datastore.store.onOperation = () => {
        throw new DatastoreError("UNAVAILABLE", { message: "gone" });
      };
      const { code, stdout, stderr } = await cluster.calctl(["version"]);
      assert.equal(code, 1);
      assert.match(stdout, /^Client Version/);
      assert.equal(stderr, "Unable to retrieve Cluster Version or Type: gone\n");
    });
    it("refuses a duration that is none", async () => {
      assert.match(
        (await new Cluster().calctl(["version", "--poll", "soon"])).stderr,
        /invalid duration 'soon'/,
      );
    });
  });

  describe("on a cluster of another version", () => {
    for (const version of ["", "v3.20.1", "v3.34.0-0.dev-1-gabc", "3.5", "master"])
      it(`${version || "(none)"} works`, async () =>
        assert.equal((await (await withClusterVersion(version)).calctl(["get", "node"])).code, 0));
    it("v4.0.0 refuses, unless told otherwise", async () => {
      const cluster = await withClusterVersion("v4.0.0");
      const { code, stderr } = await cluster.calctl(["get", "node"]);
      assert.equal(code, 1);
      assert.match(stderr, /^version mismatch: the cluster runs v4\.0\.0/);
      assert.equal((await cluster.calctl(["get", "node", "--allow-version-mismatch"])).code, 0);
    });
  });
});
