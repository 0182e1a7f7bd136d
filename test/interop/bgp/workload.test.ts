/** A container that speaks BGP with its host over its own interface (BGPPeer localWorkloadSelector): a bird in it. */

import assert from "node:assert/strict";
import { ip, run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Bird, type Host, Lan } from "./lan.ts";

describe("BGP with a container of the host", function () {
  this.timeout(90_000);
  const namespaces = new ScratchNamespaces();
  let lan: Lan;
  let [a, b] = [] as unknown as [Host, Host];

  before(function () {
    if (!Bird.installed()) this.skip();
  });

  beforeEach(async () => {
    lan = await Lan.create(namespaces);
    await lan.resource("IPPool", "pool", { cidr: "10.65.0.0/16" });
    [a, b] = [lan.host("a", 1), lan.host("b", 2)];
    for (const [i, host] of [a, b].entries()) {
      await host.register();
      await host.block(`10.65.${i + 1}.0/26`);
    }
  });
  afterEach(() => lan?.close());

  const CONFIG = `
    router id 10.65.1.5;
    protocol device {}
    protocol direct { ipv4; interface "lo"; }
    protocol static { ipv4; route 0.0.0.0/0 blackhole; }
    protocol bgp host {
      local 10.65.1.5 as 65010;
      neighbor 169.254.1.1 as 64512;
      multihop;
      connect delay time 1; connect retry time 1;
      ipv4 { import all; export all; };
    }`;

  const workload = (labels: object) =>
    lan.put(
      "WorkloadEndpoint",
      "a-k8s-router-eth0",
      {
        apiVersion: "projectcalico.org/v3",
        kind: "WorkloadEndpoint",
        metadata: { name: "a-k8s-router-eth0", namespace: "default", labels },
        spec: {
          node: "a",
          orchestrator: "k8s",
          pod: "router",
          endpoint: "eth0",
          ipNetworks: ["10.65.1.5/32"],
          interfaceName: "cali5",
        },
      },
      "default",
    );

  for (const bindMode of ["None", "NodeIP"]) {
    it(`takes what a filter lets in, and tells the rest of the mesh; with bindMode ${bindMode}`, async () => {
      const pod = lan.pod(a, 5, "10.65.1.5");
      ip(pod, "addr", "add", "172.30.7.1/24", "dev", "lo");
      await workload({ role: "router" });
      await lan.resource("BGPConfiguration", "default", {
        localWorkloadPeeringIPV4: "169.254.1.1",
        bindMode,
      });
      const selector = { localWorkloadSelector: "role == 'router'", asNumber: 65010, filters: ["routers"] };
      await lan.resource("BGPPeer", "routers", selector);
      await lan.resource("BGPFilter", "routers", {
        importV4: [{ cidr: "172.30.0.0/16", matchOperator: "In", action: "Accept" }],
      });
      // The mesh is told because a filter says so: 172.30.0.0/16 is no pool.
      await lan.resource("BGPFilter", "onward", {
        exportV4: [{ cidr: "172.30.0.0/16", matchOperator: "In", source: "RemotePeers", action: "Accept" }],
      });
      const peer = {
        node: "a",
        peerIP: "10.0.0.2",
        asNumber: 64512,
        filters: ["onward"],
        nextHopMode: "Self",
      };
      await lan.resource("BGPPeer", "b", peer);
      for (const host of [a, b]) {
        host.start();
        run(host.namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1");
      }
      const bird = lan.birdIn(pod, "router", CONFIG);
      bird.start();
      await bird.untilSays("show protocols host", /Established/);
      await a.untilRoutes([
        "blackhole 10.65.1.0/26",
        "10.65.2.0/26 via 10.0.0.2",
        "172.30.7.0/24 via 10.65.1.5",
      ]);
      await b.untilRoutes([
        "blackhole 10.65.2.0/26",
        "10.65.1.0/26 via 10.0.0.1",
        "172.30.7.0/24 via 10.0.0.1",
      ]);
      await bird.untilSays("show route", /10\.65\.1\.0\/26.*[\s\S]*10\.65\.2\.0\/26/);
      run(b.namespace, "ping", "-c", "1", "-W", "5", "172.30.7.1");

      await workload({});
      await a.untilRoutes(["blackhole 10.65.1.0/26", "10.65.2.0/26 via 10.0.0.2"]);
      assert.deepEqual(
        ip(a.namespace, "addr", "show", "dev", "cali5").flatMap(({ addr_info }) =>
          addr_info.filter(({ family }: { family: string }) => family === "inet"),
        ),
        [],
      );
    });
  }
});
