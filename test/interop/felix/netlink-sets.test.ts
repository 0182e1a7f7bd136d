import assert from "node:assert/strict";
import { createIpSetBackend, createRunner, IpSetError, IpSets } from "iptables-ts";
import { netlinkSets } from "../../../felix/dataplane/iptables/netlink-sets.ts";
import { Ipset } from "../../../linux/ipset/ipset.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";

describe("felix/dataplane/iptables/netlink-sets", () => {
  const namespaces = new ScratchNamespaces();

  const members = {
    4: {
      "hash:net": ["0.0.0.0/0", "10.1.2.3/8", "192.0.2.5/31", "10.0.0.1"],
      "hash:ip,port": ["10.0.0.1,tcp:80", "10.0.0.1,17:53", "10.0.0.1,sctp:9"],
    },
    6: {
      "hash:net": [
        "::/0",
        "FD00:1::1/32",
        "::ffff:1.2.3.4",
        "::5.6.7.8",
        "1:0:0:2:0:0:0:3",
        "1::2:0:0:3:4:5",
      ],
      "hash:ip,port": ["FD00::1,tcp:80", "fd00::1,17:53"],
    },
  } as const;

  for (const ipVersion of [4, 6] as const) {
    const options = { ipVersion, prefix: `cali${ipVersion}0`, tempPrefix: `cali${ipVersion}t` } as const;
    const name = (id: string) => `${options.prefix}${id}`;

    it(`writes and reads the sets of IPv${ipVersion} as the ipset program would`, async () => {
      const namespace = namespaces.create();
      using ipset = Ipset.open({ namespace });
      const start = () => new IpSets({ backend: netlinkSets(ipset), ...options });
      const define = (sets: IpSets) => {
        for (const [type, list] of Object.entries(members[ipVersion]))
          sets.setMembers(name(type), { type: type as "hash:net", maxElements: 1000 }, list);
      };
      const sets = start();
      define(sets);
      await sets.applyUpdates();

      const program = createIpSetBackend({
        run: createRunner({ prefix: ["ip", "netns", "exec", namespace] }),
      });
      const all = () => true;
      assert.deepEqual(await netlinkSets(ipset).read(all), await program.read(all));

      const restarted = start();
      define(restarted);
      assert.deepEqual((await restarted.applyUpdates()).updated, []);
    });
  }

  it("repairs what others did, rewrites by a swap, and keeps what a rule uses", async () => {
    const namespace = namespaces.create();
    using ipset = Ipset.open({ namespace });
    const sets = new IpSets({
      backend: netlinkSets(ipset),
      ipVersion: 4,
      prefix: "cali40",
      tempPrefix: "cali4t",
    });
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => `10.0.${from}.${i}`);
    const spec = { type: "hash:net", maxElements: 1000 } as const;
    sets.setMembers("cali40a", spec, many(0, 200));
    await sets.applyUpdates();
    run(namespace, "ipset", "flush", "cali40a");
    assert.deepEqual(await sets.check(), ["cali40a"]);
    await sets.applyUpdates();
    assert.equal(ipset.headers()[0]?.elements, 200);
    run(namespace, "iptables-nft", ..."-A FORWARD -m set --match-set cali40a src -j DROP".split(" "));
    sets.setMembers("cali40a", { ...spec, maxElements: 2000 }, many(1, 100));
    await sets.applyUpdates();
    assert.deepEqual(
      ipset.headers().map(header => [header.name, header.elements, header.maxElements]),
      [["cali40a", 100, 2000]],
    );
    sets.removeSet("cali40a");
    assert.deepEqual(await sets.applyDeletions(), { destroyed: [], busy: ["cali40a"] });
    run(namespace, "iptables-nft", "-F", "FORWARD");
    assert.deepEqual(await sets.applyDeletions(), { destroyed: ["cali40a"], busy: [] });
  });

  it("says which command was refused", async () => {
    using ipset = Ipset.open({ namespace: namespaces.create() });
    const backend = netlinkSets(ipset);
    await assert.rejects(
      backend.restore([
        "create cali40a hash:ip family inet maxelem 10",
        "add cali40a 10.0.0.1",
        "add cali40b 10.0.0.1",
      ]),
      (error: unknown) => {
        assert.ok(error instanceof IpSetError);
        assert.deepEqual([error.code, error.line, error.text], ["rejected", 3, "add cali40b 10.0.0.1"]);
        return true;
      },
    );
  });
});
