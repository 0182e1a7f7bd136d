import assert from "node:assert/strict";
import type { Update } from "../../../../../datastore/reflector.ts";
import { Calculation, globalPolicy, gone, pool, profile, workload } from "../../calc/resources.ts";
import { FilteringKernel } from "./kernel.ts";

const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const fromX = { action: "Allow", source: { selector: "app == 'x'" } } as const;

/** A calculation whose changes go to the kernel. */
async function host(config: Readonly<Record<string, unknown>> = {}) {
  const calculation = new Calculation();
  const kernel = await FilteringKernel.create(config);
  return {
    ...kernel,
    kernel: kernel.kernel,
    filter: kernel.filter,
    chain: kernel.chain.bind(kernel),
    judging: kernel.judging.bind(kernel),
    /** The rules that judge a workload. */
    judgement: (direction: "to" | "from", interfaceName: string, version: 4 | 6 = 4) => {
      const name = kernel.judging(direction, interfaceName, version);
      return name === undefined ? undefined : kernel.chain(name, version);
    },
    apply: (...updates: readonly Update[]) => kernel.commit(calculation.apply(...updates)),
  };
}

const setsOf = (kernel: { sets: ReadonlyMap<string, { members: ReadonlySet<string> }> }) =>
  Object.fromEntries([...kernel.sets].map(([name, { members }]) => [name, [...members].sort()]));

describe("felix/dataplane/iptables/iptables-filter", () => {
  it("drops what workloads send before it knows any", async () => {
    const { apply, chain } = await host();
    await apply();
    for (const version of [4, 6] as const) {
      assert.deepEqual(chain("FORWARD", version)?.[0], "-j cali-FORWARD");
      assert.equal(
        chain("cali-from-wl-dispatch", version)?.at(-1),
        '-m comment --comment "Unknown interface" -j DROP',
      );
    }
  });

  it("keeps sets and rules of both versions apart", async () => {
    const { apply, chain, kernel } = await host();
    await apply(
      workload("x", { labels: { app: "x" }, address: ["10.0.0.1", "fd00::1"], node: "there" }),
      workload("a", { profiles: ["open"], address: ["10.0.0.9", "fd00::9"] }),
      open,
      globalPolicy("p", { ingress: [fromX, { action: "Deny", source: { nets: ["fd00::/8"] } }] }),
      pool("four", "10.0.0.0/16", true),
      pool("six", "fd00::/64"),
    );
    const [name] = Object.keys(setsOf(kernel)).filter(set => set.startsWith("cali40s:"));
    assert.deepEqual(setsOf(kernel), {
      "cali40network-ip-pools": ["10.0.0.0/16"],
      "cali40masq-ipam-pools": ["10.0.0.0/16"],
      [name!]: ["10.0.0.1"],
      "cali60network-ip-pools": ["fd00::/64"],
      "cali60masq-ipam-pools": [],
      [name!.replace("cali4", "cali6")]: ["fd00::1"],
    });
    assert.equal(chain("cali-pi-gnp/p", 4)?.length, 1);
    assert.equal(chain("cali-pi-gnp/p", 6)?.length, 2);
  });

  it("programs no policy for a version in which no endpoint has an address, and lets nothing through", async () => {
    const { apply, chain, judgement } = await host();
    await apply(workload("a", { address: ["10.0.0.9"] }), globalPolicy("p", { ingress: [fromX] }));
    assert.equal(chain("cali-pi-gnp/p", 4)?.length, 1);
    assert.equal(chain("cali-pi-gnp/p", 6), undefined);
    for (const direction of ["to", "from"] as const)
      assert.deepEqual(judgement(direction, "calia", 6), ['-m comment --comment "No IPv6 address" -j DROP']);
  });

  it("leaves IPv6 alone where it is not supported", async () => {
    const { apply, kernel } = await host({ ipv6Support: false });
    await apply(workload("a", { address: ["10.0.0.1", "fd00::1"] }));
    assert.ok(kernel.calls.every(({ command }) => !command.startsWith("ip6tables")));
  });

  it("hands an interface from one endpoint to another, in whatever order that is told", async () => {
    const former = workload("a", { interfaceName: "cali1", profiles: ["p"], address: "10.0.0.1" });
    const next = workload("b", { interfaceName: "cali1", profiles: ["q"], address: "10.0.0.2" });
    for (const updates of [
      [gone(former), next],
      [next, gone(former)],
    ]) {
      const { apply, chain, judgement } = await host();
      await apply(former);
      await apply(...updates);
      assert.ok(judgement("to", "cali1")?.some(rule => rule.endsWith("-j cali-pri-q")));
      assert.equal(chain("cali-pri-p"), undefined);
      await apply(gone(next));
      assert.equal(judgement("to", "cali1"), undefined);
    }
  });

  it("fills a set before rules use it, and destroys it after they do not", async () => {
    const { apply, kernel } = await host({ ipv6Support: false });
    await apply(workload("a"), workload("x", { labels: { app: "x" }, address: "10.0.0.9", node: "there" }));
    kernel.takeRestores();
    const policy = globalPolicy("p", { ingress: [fromX] });
    await apply(policy);
    const [set, rules, ...more] = kernel.takeRestores();
    assert.match(set!, /^create cali40s:\S+ hash:net .*\nadd cali40s:\S+ 10\.0\.0\.9\n$/);
    assert.match(rules!, /--match-set cali40s:/);
    assert.deepEqual(more, []);
    await apply(gone(policy));
    assert.match(kernel.takeRestores().at(-1)!, /^destroy cali40s:/);
  });

  it("costs one small process where one small thing changed", async () => {
    const { apply, kernel, filter } = await host({ ipv6Support: false });
    const remote = (address: string) => workload("x", { labels: { app: "x" }, address, node: "there" });
    await apply(workload("a"), remote("10.0.0.9"), globalPolicy("p", { ingress: [fromX] }));
    kernel.takeRestores();
    await apply(remote("10.0.0.8"));
    const restores = kernel.takeRestores();
    assert.equal(restores.length, 1);
    assert.match(restores[0]!, /^add cali40s:\S+ 10\.0\.0\.8\ndel cali40s:\S+ 10\.0\.0\.9\n$/);
    assert.equal(filter.pending, false);
    await apply(workload("other", { node: "there", address: "10.0.0.7" }));
    assert.deepEqual(kernel.takeRestores(), []);
  });

  it("touches one dispatch group for one endpoint more", async () => {
    const { apply, kernel } = await host({ ipv6Support: false });
    const named = (name: string, i: number) => workload(name, { address: `10.0.0.${i}` });
    await apply(...["aa", "ab", "ba", "bb"].map((name, i) => named(name, i + 1)));
    kernel.takeRestores();
    await apply(named("ac", 9));
    const [text = ""] = kernel.takeRestores();
    const chains = [...new Set([...text.matchAll(/^-A (\S+)/gm)].map(([, chain]) => chain))].sort();
    assert.deepEqual(chains, ["cali-from-wl-dispatch-calia", "cali-to-wl-dispatch-calia"]);
  });

  it("puts back what somebody else changed, in each family by itself", async () => {
    const { apply, kernel, filter, judging, judgement } = await host();
    await apply(workload("a"));
    kernel.table("filter").get(judging("to", "calia")!)!.length = 0;
    await filter.resync("rules");
    assert.equal(filter.pending, true);
    await filter.commit();
    assert.equal(judgement("to", "calia")?.length, 2);
    kernel.sets.get("cali40masq-ipam-pools")!.members.add("1.2.3.4");
    await filter.resync("sets");
    await filter.commit();
    assert.deepEqual([...kernel.sets.get("cali40masq-ipam-pools")!.members], []);
  });

  it("commits one IP version where the other is refused", async () => {
    const { apply, kernel, judgement } = await host();
    kernel.refuse = line => line.includes("icmp6");
    await assert.rejects(apply(workload("a", { address: ["10.0.0.9", "fd00::9"] })), /refused/);
    assert.equal(judgement("to", "calia", 4)?.length, 2);
    assert.equal(judgement("to", "calia", 6), undefined);
    kernel.refuse = undefined;
    await apply();
    assert.equal(judgement("to", "calia", 6)?.length, 2);
  });

  it("takes over what it finds right, and sweeps the rest", async () => {
    const first = await host();
    const updates = [workload("a", { profiles: ["open"] }), open, workload("b"), pool("p", "10.0.0.0/16")];
    await first.apply(...updates);
    const { kernel } = first;
    kernel.edit(
      "filter",
      ":cali-old - [0:0]",
      "-A cali-old -j DROP",
      ":others - [0:0]",
      "-A others -j ACCEPT",
    );
    kernel.calls.length = 0;
    const again = await FilteringKernel.restart(kernel);
    await again.commit(new Calculation().apply(...updates));
    assert.deepEqual(
      kernel.takeRestores().map(text => text.split("\n").filter(line => line.includes("cali-"))),
      [[":cali-old - -", "-X cali-old"]],
    );
    assert.deepEqual(kernel.rules("filter", "others"), ["-j ACCEPT"]);
  });
});
