import assert from "node:assert/strict";
import { type EndpointSlice, type Service, serviceCidrs, serviceRoutes } from "../../../bgp/services.ts";
import type { BGPConfiguration } from "../../../crd-schemas/index.ts";

type Spec = NonNullable<Service["spec"]>;
type Configuration = NonNullable<BGPConfiguration["spec"]>;

function service(name: string, spec: Spec = {}, ingress: string[] = []): Service {
  return {
    metadata: { namespace: "shop", name },
    spec: { type: "ClusterIP", clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"], ...spec },
    status: { loadBalancer: { ingress: ingress.map(ip => ({ ip })) } },
  };
}

/** `node`, or `node!` where it is not ready, or `?` where nobody says. */
function slice(name: string, endpoints: string[], addressType = "IPv4"): EndpointSlice {
  return {
    metadata: { namespace: "shop", name: `${name}-x1`, labels: { "kubernetes.io/service-name": name } },
    addressType,
    endpoints: endpoints.map(text => ({
      ...(text !== "?" && { nodeName: text.replace("!", ""), conditions: { ready: !text.endsWith("!") } }),
    })),
  };
}

function routes(
  configuration: Configuration,
  services: Service[],
  endpointSlices: EndpointSlice[],
  labels: Record<string, string> = {},
): string[] {
  return [...serviceRoutes({ configuration, services, endpointSlices, nodeName: "a", labels })].sort();
}

const cluster: Configuration = { serviceClusterIPs: [{ cidr: "10.96.0.0/12" }, { cidr: "fd00:96::/112" }] };
const external: Configuration = {
  serviceExternalIPs: [{ cidr: "198.51.100.0/24" }, { cidr: "192.0.2.7/32" }],
};
const balancer: Configuration = {
  serviceLoadBalancerIPs: [{ cidr: "203.0.113.0/24" }, { cidr: "192.0.2.8/32" }],
};
const local: Spec = { externalTrafficPolicy: "Local" };
const loadBalancer: Spec = { type: "LoadBalancer", externalTrafficPolicy: "Cluster" };

describe("bgp/services: cluster IPs", () => {
  it("are announced as a whole by every node, whatever runs there", () => {
    assert.deepEqual(routes(cluster, [], []), ["10.96.0.0/12", "fd00:96::/112"]);
    assert.deepEqual(routes({ serviceClusterIPs: [{ cidr: "10.96.0.10/32" }] }, [], []), ["10.96.0.10/32"]);
  });

  it("with externalTrafficPolicy Local are announced besides by nodes with a ready endpoint", () => {
    const services = [service("web", local)];
    const found = (...endpoints: string[]) =>
      routes(cluster, services, [slice("web", endpoints)]).length === 3;
    assert.equal(found("a"), true);
    assert.equal(found("b", "a"), true);
    assert.equal(found("b"), false);
    assert.equal(found("a!"), false);
    assert.equal(found("?"), false);
    assert.equal(found(), false);
    assert.deepEqual(routes(cluster, services, [slice("web", ["a"])])[1], "10.96.0.10/32");
  });

  it("with externalTrafficPolicy Cluster are not announced by themselves", () => {
    const services = [service("web"), service("np", { type: "NodePort", externalTrafficPolicy: "Cluster" })];
    assert.equal(routes(cluster, services, [slice("web", ["a"]), slice("np", ["a"])]).length, 2);
  });

  it("of both IP versions go by the endpoints of each", () => {
    const dual = service("web", { ...local, clusterIPs: ["10.96.0.10", "fd00:96::10"] });
    const slices = [slice("web", ["b"]), slice("web", ["a"], "IPv6")];
    assert.deepEqual(routes(cluster, [dual], slices), ["10.96.0.0/12", "fd00:96::/112", "fd00:96::10/128"]);
  });

  it("outside the configured CIDRs are not announced", () => {
    const elsewhere = service("web", { ...local, clusterIP: "172.30.0.1", clusterIPs: ["172.30.0.1"] });
    assert.equal(routes(cluster, [elsewhere], [slice("web", ["a"])]).length, 2);
    assert.deepEqual(routes({}, [service("web", local)], [slice("web", ["a"])]), []);
  });

  it("do not go by endpoints of a service of the same name elsewhere, or of no service", () => {
    const services = [service("web", local)];
    const other = {
      ...slice("web", ["a"]),
      metadata: { ...slice("web", ["a"]).metadata, namespace: "test" },
    };
    const nobodys = { ...slice("web", ["a"]), metadata: { namespace: "shop", name: "web-x1" } };
    const names = { ...slice("web", ["a"]), addressType: "FQDN" };
    assert.equal(routes(cluster, services, [other, nobodys, names]).length, 2);
  });
});

describe("bgp/services: external IPs", () => {
  it("inside a CIDR are announced by the CIDR, from every node; single ones while a service has them", () => {
    assert.deepEqual(routes(external, [], []), ["198.51.100.0/24"]);
    const services = [service("web", { externalIPs: ["198.51.100.9", "192.0.2.7", "192.0.2.99"] })];
    assert.deepEqual(routes(external, services, []), ["192.0.2.7/32", "198.51.100.0/24"]);
  });

  it("with externalTrafficPolicy Local are announced by nodes with a ready endpoint", () => {
    const services = [service("web", { ...local, externalIPs: ["198.51.100.9", "192.0.2.7"] })];
    assert.deepEqual(routes(external, services, [slice("web", ["b"])]), ["198.51.100.0/24"]);
    assert.deepEqual(routes(external, services, [slice("web", ["a"])]), [
      "192.0.2.7/32",
      "198.51.100.0/24",
      "198.51.100.9/32",
    ]);
  });

  it("may be of either version, and nonsense is passed over", () => {
    const services = [service("web", { ...local, externalIPs: ["fd00:7::1", "not an address", ""] })];
    const configuration = { serviceExternalIPs: [{ cidr: "fd00:7::/64" }, { cidr: "nonsense" }] };
    assert.deepEqual(routes(configuration, services, [slice("web", ["a"])]), ["fd00:7::/64"]);
    assert.deepEqual(routes(configuration, services, [slice("web", ["a"], "IPv6")]), [
      "fd00:7::/64",
      "fd00:7::1/128",
    ]);
  });
});

describe("bgp/services: load balancer IPs", () => {
  const services = [service("web", loadBalancer, ["203.0.113.5", "192.0.2.8", "8.8.8.8"])];

  it("are announced as external IPs are", () => {
    assert.deepEqual(routes(balancer, services, [slice("web", [])]), ["192.0.2.8/32", "203.0.113.0/24"]);
    const locals = [service("web", { ...loadBalancer, ...local }, ["203.0.113.5", "192.0.2.8"])];
    assert.deepEqual(routes(balancer, locals, [slice("web", ["b"])]), ["203.0.113.0/24"]);
    assert.deepEqual(routes(balancer, locals, [slice("web", ["a"])]), [
      "192.0.2.8/32",
      "203.0.113.0/24",
      "203.0.113.5/32",
    ]);
  });

  it("without aggregation are announced one by one, while there is a ready endpoint anywhere", () => {
    const configuration: Configuration = { ...balancer, serviceLoadBalancerAggregation: "Disabled" };
    assert.deepEqual(routes(configuration, services, [slice("web", ["b"])]), [
      "192.0.2.8/32",
      "203.0.113.5/32",
    ]);
    assert.deepEqual(routes(configuration, services, [slice("web", ["b!"])]), []);
    const locals = [service("web", { ...loadBalancer, ...local }, ["203.0.113.5"])];
    assert.deepEqual(routes(configuration, locals, [slice("web", ["b"])]), []);
    assert.deepEqual(routes(configuration, locals, [slice("web", ["a"])]), ["203.0.113.5/32"]);
  });

  it("without aggregation leave the other kinds as they are", () => {
    const configuration: Configuration = {
      ...cluster,
      ...external,
      serviceLoadBalancerAggregation: "Disabled",
    };
    assert.deepEqual(routes(configuration, [], []), ["10.96.0.0/12", "198.51.100.0/24", "fd00:96::/112"]);
  });

  it("are those of services of that type", () => {
    const left = [service("web", { ...local, type: "NodePort" }, ["203.0.113.5"])];
    assert.deepEqual(routes(balancer, left, [slice("web", ["a"])]), ["203.0.113.0/24"]);
  });
});

describe("bgp/services", () => {
  const all = { ...cluster, ...external, ...balancer };

  it("says nothing of services that have no address of their own, or lie outside", () => {
    const headless = { clusterIP: "None", clusterIPs: ["None"], externalIPs: ["198.51.100.9"], ...local };
    const services = [
      service("headless", headless),
      service("empty", { ...headless, clusterIP: "", clusterIPs: [] }),
      service("name", { ...local, type: "ExternalName", externalIPs: ["198.51.100.9"] }),
    ];
    const slices = ["headless", "empty", "name"].map(name => slice(name, ["a"]));
    assert.deepEqual(routes(external, services, slices), ["198.51.100.0/24"]);
  });

  it("announces nothing from a node that is excluded from load balancing", () => {
    const label = "node.kubernetes.io/exclude-from-external-load-balancers";
    const services = [service("web", { ...local, externalIPs: ["198.51.100.9"] })];
    assert.deepEqual(routes(all, services, [slice("web", ["a"])], { [label]: "true" }), []);
    assert.ok(routes(all, services, [slice("web", ["a"])], { [label]: "false" }).length > 0);
  });

  it("knows every CIDR that is configured", () => {
    assert.deepEqual(serviceCidrs(all), [
      "10.96.0.0/12",
      "fd00:96::/112",
      "198.51.100.0/24",
      "192.0.2.7/32",
      "203.0.113.0/24",
      "192.0.2.8/32",
    ]);
    assert.deepEqual(serviceCidrs({}), []);
  });
});
