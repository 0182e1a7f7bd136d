import assert from "node:assert/strict";
import fc from "fast-check";
import {
  parseWorkloadEndpointName,
  unnameableField,
  type WorkloadEndpointIdentity,
  workloadEndpointName,
  workloadEndpointNamePrefix,
} from "../../../crd-schemas/index.ts";

describe("crd-schemas/workload-endpoint-name", () => {
  const names: [WorkloadEndpointIdentity, string][] = [
    [{ node: "node-1", orchestrator: "k8s", pod: "my-pod", endpoint: "eth0" }, "node--1-k8s-my--pod-eth0"],
    [{ node: "n", orchestrator: "cni", containerID: "c1", endpoint: "eth0" }, "n-cni-c1-eth0"],
    [{ node: "h1", orchestrator: "libnetwork", endpoint: "e" }, "h1-libnetwork-libnetwork-e"],
    [
      { node: "h1", orchestrator: "libnetwork", workload: "libnetwork", endpoint: "e" },
      "h1-libnetwork-libnetwork-e",
    ],
    [{ node: "h1", orchestrator: "openstack", workload: "vm--1", endpoint: "e" }, "h1-openstack-vm----1-e"],
  ];
  for (const [identity, name] of names) {
    it(name, () => {
      assert.equal(workloadEndpointName(identity), name);
      assert.deepEqual(workloadEndpointName(parseWorkloadEndpointName(name)!), name);
    });
  }

  it("needs every segment, none with a dash at its end", () => {
    const whole = { node: "n", orchestrator: "k8s", pod: "p", endpoint: "e" };
    const { pod: _, ...podless } = whole;
    assert.equal(unnameableField(whole), undefined);
    assert.equal(unnameableField(podless), "pod");
    assert.equal(unnameableField({ ...whole, endpoint: "" }), "endpoint");
    assert.equal(unnameableField({ ...whole, node: "n-" }), "node");
    assert.equal(unnameableField({}), "node");
    assert.equal(workloadEndpointName({ ...whole, node: "-n" }), undefined);
  });

  it("lists by what is known, from the node on", () => {
    assert.equal(workloadEndpointNamePrefix({}), "");
    assert.equal(workloadEndpointNamePrefix({ node: "node-1" }), "node--1-");
    assert.equal(workloadEndpointNamePrefix({ node: "n", orchestrator: "k8s", pod: "web" }), "n-k8s-web-");
  });

  it("a prefix may match too much, and parsing tells", () => {
    const other = workloadEndpointName({ node: "n", orchestrator: "k8s", pod: "web-1", endpoint: "e" })!;
    assert.ok(other.startsWith(workloadEndpointNamePrefix({ node: "n", orchestrator: "k8s", pod: "web" })));
    assert.equal(parseWorkloadEndpointName(other)?.pod, "web-1");
  });

  it("what has more or fewer segments is no name", () => {
    for (const text of ["", "n", "n-k8s-p", "n-k8s-p-e-x", "n--k8s-p-e"]) {
      assert.equal(parseWorkloadEndpointName(text), undefined, text);
    }
  });

  it("survives being written and read, whatever dashes are inside", () => {
    const segment = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?$/);
    fc.assert(
      fc.property(segment, segment, segment, (node, pod, endpoint) => {
        const identity = { node, orchestrator: "k8s", pod, endpoint };
        assert.deepEqual(parseWorkloadEndpointName(workloadEndpointName(identity)!), identity);
      }),
    );
  });
});
