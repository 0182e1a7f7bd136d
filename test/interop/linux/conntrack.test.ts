import assert from "node:assert/strict";
import { Conntrack } from "../../../linux/conntrack.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { ip as address } from "../../../net/ip.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/conntrack", () => {
  const scratch = new ScratchNamespaces();

  /** Twenty connections, made by hand: sources .0 to .4, destinations .100 to .103; and one of IPv6. */
  function populated(): string {
    const namespace = scratch.create();
    const add = (source: string, destination: string, port: number) =>
      run(
        namespace,
        "conntrack",
        ..."-I -p tcp --dport 80 --state ESTABLISHED --timeout 600".split(" "),
        ...["-s", source, "-d", destination, "--sport", String(port)],
      );
    for (let s = 0; s < 5; s++) {
      for (let d = 0; d < 4; d++) add(`10.0.0.${s}`, `10.0.0.${100 + d}`, 1000 + s);
    }
    add("fd00::1", "fd00::2", 2000);
    return namespace;
  }

  const list = (family: string, namespace: string, ...args: string[]) =>
    run(namespace, "sh", "-c", `conntrack -L -f ${family} ${args.join(" ")} 2>/dev/null`)
      .split("\n")
      .filter(line => line.includes("src=")).length;

  const count = (namespace: string, ...args: string[]) => list("ipv4", namespace, ...args);

  for (const kernelFilters of [true, false]) {
    describe(kernelFilters ? "filtered by the kernel" : "one by one, for older kernels", () => {
      it("forgets the connections of one address, on either side, and no others", () => {
        const namespace = populated();
        using conntrack = Conntrack.open({ namespace, kernelFilters });
        assert.equal(count(namespace), 20);
        conntrack.deleteByAddresses([address("10.0.0.1")]);
        assert.equal(count(namespace), 16);
        assert.equal(count(namespace, "-s", "10.0.0.1"), 0);
        conntrack.deleteByAddresses([address("10.0.0.101")]);
        assert.equal(count(namespace), 12);
        assert.equal(count(namespace, "-d", "10.0.0.101"), 0);
        assert.equal(list("ipv6", namespace), 1);
        conntrack.deleteByAddresses([address("10.99.99.99")]);
        assert.equal(count(namespace), 12);
      });

      it("looks only at the side asked for", () => {
        const namespace = populated();
        using conntrack = Conntrack.open({ namespace, kernelFilters });
        conntrack.deleteByAddresses([address("10.0.0.1")], ["orig-destination"]);
        assert.equal(count(namespace), 20);
        conntrack.deleteByAddresses([address("10.0.0.1")], ["reply-destination"]);
        assert.equal(count(namespace), 16);
        conntrack.deleteByAddresses([address("10.0.0.100")], ["reply-source"]);
        assert.equal(count(namespace), 12);
        conntrack.deleteByAddresses([address("10.0.0.2")], []);
        assert.equal(count(namespace), 12);
      });

      it("forgets IPv6 connections", () => {
        const namespace = populated();
        using conntrack = Conntrack.open({ namespace, kernelFilters });
        conntrack.deleteByAddresses([address("fd00::9")]);
        assert.equal(list("ipv6", namespace), 1);
        conntrack.deleteByAddresses([address("fd00::2")]);
        assert.equal(list("ipv6", namespace), 0);
        assert.equal(count(namespace), 20);
      });
    });
  }

  it("opens in the thread's namespace too", () => {
    const namespace = populated();
    const conntrack = inNamespace(namespace, () => Conntrack.open());
    conntrack.deleteByAddresses([address("10.0.0.1")]);
    conntrack.close();
    assert.equal(count(namespace), 16);
  });
});
