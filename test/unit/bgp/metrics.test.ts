/** What Prometheus is told, from speakers in a simulated network. */

import assert from "node:assert/strict";
import { BgpMetrics } from "../../../bgp/metrics.ts";
import { EVERYTHING, Lab } from "../../../bgp/node-bgp/test/kit/lab.ts";
import { parseListenAddress } from "../../../bgp/windows.ts";

describe("metrics of the BGP daemon", () => {
  async function scrape(lab: Lab, rr: Awaited<ReturnType<typeof reflector>>): Promise<string[]> {
    const metrics = new BgpMetrics({
      speaker: rr,
      kernelRoutes: 7,
      neighbors: () =>
        rr
          .neighbors()
          .map(status => (status.address === "192.0.2.2" ? { ...status, name: "Mesh_192_0_2_2" } : status)),
    });
    lab.advance(1);
    const lines = (await metrics.metrics()).split("\n");
    // The second scrape tells what there is, not twice as much.
    const sessions = (text: string[]) =>
      text.filter(line => line.startsWith("calyx_bgp_peer_sessions_total"));
    assert.deepEqual(sessions((await metrics.metrics()).split("\n")), sessions(lines));
    metrics.close();
    return lines;
  }

  async function reflector(lab: Lab) {
    const rr = lab.speaker("192.0.2.1", 64512);
    rr.addNeighbor({ address: "192.0.2.2", asn: 64512 });
    rr.addDynamicNeighbors({ prefix: "10.0.0.0/8", asn: [[65000, 65100]], ...EVERYTHING });
    await rr.start();
    for (const [address, asn, prefix] of [
      ["192.0.2.2", 64512, "10.1.0.0/16"],
      ["10.0.0.2", 65001, "10.2.0.0/16"],
      ["10.0.0.3", 65002, "10.3.0.0/16"],
    ] as const) {
      const client = lab.speaker(address, asn);
      client.addNeighbor({ address: "192.0.2.1", asn: 64512, ...EVERYTHING });
      client.announce({ prefix });
      await client.start();
    }
    lab.advance(10);
    return rr;
  }

  it("has a series for each configured peer, and one for all dynamic peers of a prefix", async () => {
    const lab = new Lab();
    const lines = await scrape(lab, await reflector(lab));
    const has = (line: string) =>
      assert(lines.includes(line), `${line}\n${lines.filter(l => !l.startsWith("#")).join("\n")}`);
    has('calyx_bgp_peer_state{peer="192.0.2.2",name="Mesh_192_0_2_2"} 6');
    has('calyx_bgp_peer_up{peer="192.0.2.2",name="Mesh_192_0_2_2"} 1');
    has('calyx_bgp_peer_up{peer="dynamic 10.0.0.0/8",name=""} 2');
    has('calyx_bgp_peer_state{peer="dynamic 10.0.0.0/8",name=""} 6');
    has('calyx_bgp_peer_sessions_total{peer="dynamic 10.0.0.0/8",name=""} 2');
    has('calyx_bgp_peer_prefixes_received{peer="dynamic 10.0.0.0/8",name="",family="ipv4-unicast"} 2');
    has('calyx_bgp_peer_flaps_total{peer="192.0.2.2",name="Mesh_192_0_2_2"} 0');
    has(
      'calyx_bgp_peer_messages_total{peer="192.0.2.2",name="Mesh_192_0_2_2",direction="received",type="update"} 2',
    );
    has('calyx_bgp_rib_prefixes{family="ipv4-unicast"} 3');
    has('calyx_bgp_dynamic_peers{prefix="10.0.0.0/8"} 2');
    has("calyx_bgp_kernel_routes 7");
    has("# TYPE calyx_bgp_peer_sessions_total counter");
    assert(!lines.some(line => line.includes("10.0.0.2")), "a dynamic peer has a series of its own");
    assert(lines.some(line => /^calyx_bgp_event_loop_delay_seconds\{quantile="0.99"\} \d/.test(line)));
  });

  it("are served where they are told to", () => {
    assert.deepEqual(parseListenAddress("127.0.0.1:9179"), { host: "127.0.0.1", port: 9179 });
    assert.deepEqual(parseListenAddress("[::1]:9179"), { host: "::1", port: 9179 });
    assert.deepEqual(parseListenAddress(":9179"), { host: "::", port: 9179 });
    for (const wrong of ["9179", "::1:9179", "host:70000", ""])
      assert.equal(parseListenAddress(wrong), undefined);
  });
});
