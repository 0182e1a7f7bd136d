import assert from "node:assert/strict";
import { BgpState } from "../../../bgp/state.ts";
import type { Revision, Value } from "../../../datastore/datastore.ts";
import { type Kind, key } from "../../../datastore/key.ts";
import type { Update } from "../../../datastore/reflector.ts";
import { bgpConfiguration, bgpFilter, bgpPeer, ipPool, node } from "./resources.ts";

const put = (kind: Kind, name: string, value: Value): Update => ({
  type: "put",
  key: kind === "BlockAffinity" ? key(kind, name, "host:a") : key(kind, name),
  value,
  revision: "1" as Revision,
});
const remove = (kind: Kind, name: string): Update => ({
  type: "delete",
  key: kind === "BlockAffinity" ? key(kind, name, "host:a") : key(kind, name),
});
const touchedBy = (state: BgpState, ...updates: Update[]) =>
  Object.entries(state.apply(updates))
    .filter(([, touched]) => touched)
    .map(([what]) => what);

describe("bgp/state", () => {
  it("asks for this host's affinities only", () => {
    const affinities = BgpState.queries("a").find(({ kind }) => kind === "BlockAffinity");
    assert.deepEqual(affinities, { kind: "BlockAffinity", namespace: "host:a" });
  });

  const affinities: [string, Value, boolean][] = [
    ["confirmed", { state: "confirmed", deleted: false }, true],
    ["confirmed, with deleted as Calico writes it", { state: "confirmed", deleted: "false" }, true],
    ["pending", { state: "pending" }, false],
    ["pendingDeletion", { state: "pendingDeletion" }, false],
    ["of an old record that has no state", {}, true],
    ["of an old record with an empty state", { state: "" }, true],
    ["confirmed but marked deleted", { state: "confirmed", deleted: true }, false],
    ["confirmed but marked deleted as a text", { state: "confirmed", deleted: "true" }, false],
  ];
  for (const [what, value, isOurs] of affinities) {
    it(`an affinity ${what} ${isOurs ? "makes the block ours" : "does not"}`, () => {
      const state = new BgpState();
      assert.deepEqual(touchedBy(state, put("BlockAffinity", "10.65.1.0/26", value)), ["origination"]);
      assert.deepEqual([...state.blocks], isOurs ? ["10.65.1.0/26"] : []);
    });
  }

  it("loses a block with its affinity, and with its confirmation", () => {
    const state = new BgpState();
    const confirmed = { state: "confirmed" };
    state.apply([
      put("BlockAffinity", "10.65.1.0/26", confirmed),
      put("BlockAffinity", "10.65.2.0/26", confirmed),
    ]);
    state.apply([remove("BlockAffinity", "10.65.1.0/26")]);
    assert.deepEqual([...state.blocks], ["10.65.2.0/26"]);
    state.apply([put("BlockAffinity", "10.65.2.0/26", { state: "pendingDeletion" })]);
    assert.deepEqual([...state.blocks], []);
  });

  it("says what has to be looked at again", () => {
    const state = new BgpState();
    assert.deepEqual(touchedBy(state, put("BGPPeer", "p", bgpPeer("p", {}))), ["peerings"]);
    assert.deepEqual(touchedBy(state, put("BGPFilter", "f", bgpFilter("f", {}))), [
      "peerings",
      "exports",
      "origination",
    ]);
    assert.deepEqual(touchedBy(state, put("IPPool", "p", ipPool("10.0.0.0/8"))), ["exports", "origination"]);
    assert.deepEqual(touchedBy(state, put("BGPConfiguration", "default", bgpConfiguration({}))), [
      "peerings",
      "exports",
      "origination",
    ]);
    assert.deepEqual(touchedBy(state, remove("BGPPeer", "p")), ["peerings"]);
    assert.deepEqual(
      [state.peers.size, state.filters.size, state.pools.size, state.configurations.size],
      [0, 1, 1, 1],
    );
  });

  it("takes what makes no sense for absent, and says so once per reason", () => {
    const said: string[] = [];
    const state = new BgpState(({ name }, message) => said.push(`${name}: ${message}`));
    state.apply([put("IPPool", "p", ipPool("10.0.0.0/8"))]);
    assert.equal(state.pools.size, 1);
    const noSpec = { kind: "IPPool", name: "p" };
    for (const broken of [noSpec, { ...noSpec, busy: true }]) {
      assert.deepEqual(touchedBy(state, put("IPPool", "p", broken)), ["exports", "origination"]);
    }
    assert.equal(state.pools.size, 0);
    state.apply([put("IPPool", "p", ipPool("10.0.0.7/8"))]);
    assert.match(said.join("\n"), /^p: apiVersion: .*\np: spec\.cidr: .*$/);
    assert.equal(state.invalid.size, 1);
    state.apply([remove("IPPool", "p")]);
    assert.equal(state.invalid.size, 0);
  });

  it("does not care for what of a node is not BGP's", () => {
    const state = new BgpState();
    const bgp = { ipv4Address: "10.0.0.1/24" };
    assert.deepEqual(touchedBy(state, put("Node", "a", node("a", bgp))), ["peerings"]);
    const busy = node("a", bgp);
    busy.metadata.annotations = { heartbeat: "12:00" };
    busy.spec = { ...busy.spec, ipv4VXLANTunnelAddr: "10.65.0.1" };
    assert.deepEqual(touchedBy(state, put("Node", "a", busy)), []);
    assert.deepEqual(state.nodes.get("a"), busy);
    assert.deepEqual(touchedBy(state, put("Node", "a", node("a", bgp, { rack: "1" }))), ["peerings"]);
    assert.deepEqual(touchedBy(state, remove("Node", "a")), ["peerings"]);
    assert.deepEqual(touchedBy(state, remove("Node", "a")), []);
  });
});
