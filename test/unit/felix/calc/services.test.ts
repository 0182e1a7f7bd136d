import assert from "node:assert/strict";
import { Calculation, endpointSlice, gone, networkPolicy, workload } from "./resources.ts";

const services = { name: "web", namespace: "shop" };
const toService = networkPolicy("shop", "out", {
  types: ["Egress"],
  egress: [{ action: "Allow", destination: { services } }],
});
const fromService = networkPolicy("shop", "in", {
  types: ["Ingress"],
  ingress: [{ action: "Allow", source: { services } }],
});
const client = workload("a", { namespace: "shop", address: "10.0.0.9" });
const slice = (name: string, address: string, ports = [80]) =>
  endpointSlice("shop", name, { service: "web", addresses: [address], ports });

describe("felix/calc/service-sets", () => {
  it("traffic to a service goes to the addresses and ports of all its slices", () => {
    const calculation = new Calculation(client, toService, slice("web-1", "10.0.0.1", [80, 443]));
    assert.deepEqual(calculation.onlySet, ["10.0.0.1,tcp:443", "10.0.0.1,tcp:80"]);
    calculation.apply(slice("web-2", "10.0.0.2"));
    assert.deepEqual(calculation.onlySet, ["10.0.0.1,tcp:443", "10.0.0.1,tcp:80", "10.0.0.2,tcp:80"]);
    calculation.apply(gone(slice("web-1", "10.0.0.1")), slice("web-2", "10.0.0.3"));
    assert.deepEqual(calculation.onlySet, ["10.0.0.3,tcp:80"]);
  });

  it("traffic from a service comes from its addresses, by any port", () => {
    const calculation = new Calculation(client, fromService, slice("web-1", "10.0.0.1"));
    assert.deepEqual(calculation.onlySet, ["10.0.0.1"]);
  });

  it("an address that two slices have stays until both are gone", () => {
    const calculation = new Calculation(
      client,
      fromService,
      slice("web-1", "10.0.0.1"),
      slice("web-2", "10.0.0.1"),
    );
    calculation.apply(gone(slice("web-1", "10.0.0.1")));
    assert.deepEqual(calculation.onlySet, ["10.0.0.1"]);
    calculation.apply(gone(slice("web-2", "10.0.0.1")));
    assert.deepEqual(calculation.onlySet, []);
  });

  it("the set is there while a rule uses it, also of a service that is not there yet", () => {
    const calculation = new Calculation(client, toService);
    assert.deepEqual(calculation.onlySet, []);
    calculation.apply(slice("web-1", "10.0.0.1"));
    assert.deepEqual(calculation.onlySet, ["10.0.0.1,tcp:80"]);
    calculation.apply(gone(toService));
    assert.equal(calculation.picture.sets.size, 0);
    calculation.apply(toService);
    assert.deepEqual(calculation.onlySet, ["10.0.0.1,tcp:80"]);
  });

  it("other services' slices, and those that have names instead of addresses, do not matter", () => {
    const named = endpointSlice("shop", "web-2", { service: "web", addresses: ["web.example"] });
    const calculation = new Calculation(
      client,
      fromService,
      endpointSlice("shop", "api-1", { service: "api", addresses: ["10.0.0.1"] }),
      endpointSlice("else", "web-1", { service: "web", addresses: ["10.0.0.2"] }),
      { ...named, value: { ...(named as { value: object }).value, addressType: "FQDN" } } as never,
    );
    assert.deepEqual(calculation.onlySet, []);
    assert.deepEqual(calculation.problems, []);
  });

  it("a slice that cannot be read is absent, and that is said", () => {
    const calculation = new Calculation(client, fromService, slice("web-1", "10.0.0.1"));
    calculation.apply(slice("web-1", "10.0.0.300"));
    assert.deepEqual(calculation.onlySet, []);
    assert.match(calculation.problems[0] as string, /KubernetesEndpointSlice web-1: .*10.0.0.300/);
  });
});
