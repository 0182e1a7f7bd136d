import assert from "node:assert/strict";
import fc from "fast-check";
import { isDatastoreError } from "../../../datastore/errors.ts";
import {
  IPAM_KINDS,
  type Key,
  KUBERNETES_KINDS,
  key,
  keyText,
  type Query,
  queryMatches,
  RESOURCE_KINDS,
} from "../../../datastore/key.ts";
import { isNamespaced, keyAt, pathOf, rangeOf } from "../../../datastore/layout.ts";

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,10}[a-z0-9])?$/);
const block = fc.constantFrom("10.65.0.0/26", "10.65.0.64/26", "fd00::/122", "fd00:0:0:1::40/122");
const anyKey: fc.Arbitrary<Key> = fc
  .constantFrom(...RESOURCE_KINDS, ...IPAM_KINDS, ...KUBERNETES_KINDS)
  .chain((kind): fc.Arbitrary<Key> => {
    switch (kind) {
      case "IPAMConfig":
        return fc.constant(key(kind, "default"));
      case "IPAMBlock":
        return block.map(cidr => key(kind, cidr));
      case "BlockAffinity":
        return fc
          .tuple(fc.constantFrom("host", "virtual"), name, block)
          .map(([type, owner, cidr]) => key(kind, cidr, `${type}:${owner}`));
      default:
        return isNamespaced(kind)
          ? fc.tuple(name, name).map(([n, ns]) => key(kind, n, ns))
          : name.map(n => key(kind, n));
    }
  });

describe("datastore/layout", () => {
  it("puts things where Calico looks for them", () => {
    const resources = "/calico/resources/v3/projectcalico.org";
    const expected: [Key, string][] = [
      [key("Profile", "net1"), `${resources}/profiles/net1`],
      [
        key("WorkloadEndpoint", "h1-libnetwork-libnetwork-75c2", "libnetwork"),
        `${resources}/workloadendpoints/libnetwork/h1-libnetwork-libnetwork-75c2`,
      ],
      [key("GlobalNetworkPolicy", "allow-web"), `${resources}/globalnetworkpolicies/allow-web`],
      [key("ClusterInformation", "default"), `${resources}/clusterinformations/default`],
      [key("IPAMBlock", "10.65.23.64/26"), "/calico/ipam/v2/assignment/ipv4/block/10.65.23.64-26"],
      [key("IPAMBlock", "fd00::/122"), "/calico/ipam/v2/assignment/ipv6/block/fd00::-122"],
      [
        key("BlockAffinity", "10.65.23.64/26", "host:h1"),
        "/calico/ipam/v2/host/h1/ipv4/block/10.65.23.64-26",
      ],
      [key("IPAMHandle", "k8s-pod-network.abc"), "/calico/ipam/v2/handle/k8s-pod-network.abc"],
      [key("IPAMConfig", "default"), "/calico/ipam/v2/config"],
      [key("KubernetesEndpointSlice", "web-x7", "shop"), `${resources}/kubernetesendpointslices/shop/web-x7`],
    ];
    for (const [k, path] of expected) assert.equal(pathOf(k), path);
  });

  it("reads back every key from its path, and from no other kind's", () => {
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        assert.deepEqual(keyAt(a.kind, pathOf(a)), a);
        if (a.kind !== b.kind) assert.equal(keyAt(b.kind, pathOf(a)), undefined);
      }),
    );
  });

  it("gives each query a range with all its keys, and with no other kind's", () => {
    const within = (query: Query, path: string) => {
      const { start, end } = rangeOf(query);
      return start <= path && path < end;
    };
    fc.assert(
      fc.property(anyKey, anyKey, fc.nat(5), fc.boolean(), (a, b, length, inNamespace) => {
        const namePrefix = a.name.slice(0, length);
        const query: Query =
          inNamespace && a.namespace !== undefined
            ? { kind: a.kind, namespace: a.namespace, namePrefix }
            : { kind: a.kind, namePrefix };
        assert.ok(within(query, pathOf(a)), `${keyText(a)} in ${JSON.stringify(query)}`);
        if (queryMatches(query, b)) assert.ok(within(query, pathOf(b)));
        if (b.kind !== a.kind) assert.ok(!within(query, pathOf(b)), keyText(b));
      }),
    );
  });

  it("skips what is not a key", () => {
    const none: [Key["kind"], string][] = [
      ["BlockAffinity", "/calico/ipam/v2/host/node1"],
      ["BlockAffinity", "/calico/ipam/v2/host/node1/ipv4/block/rubbish"],
      ["NetworkPolicy", "/calico/resources/v3/projectcalico.org/networkpolicies/no-namespace"],
      ["Profile", "/calico/resources/v3/projectcalico.org/profiles/"],
      ["Profile", "/calico/resources/v3/projectcalico.org/profiles/a/b"],
      ["IPAMHandle", "/calico/ipam/v2/handle/a/b"],
    ];
    for (const [kind, path] of none) assert.equal(keyAt(kind, path), undefined, path);
  });

  it("refuses keys that would be stored where they are not found again", () => {
    const wrong = [
      key("Profile", "a/b"),
      key("Profile", ""),
      key("Profile", "a", "namespace"),
      key("NetworkPolicy", "a"),
      key("NetworkPolicy", "a", "b/c"),
      key("IPAMBlock", "10.65.0.0"),
      key("BlockAffinity", "10.65.0.0/26", "node1"),
      key("BlockAffinity", "10.65.0.0/26", "host:a/b"),
    ];
    for (const k of wrong)
      assert.throws(
        () => pathOf(k),
        (e: unknown) => isDatastoreError(e, "NOT_SUPPORTED"),
      );
  });
});
