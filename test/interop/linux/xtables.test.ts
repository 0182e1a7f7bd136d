import assert from "node:assert/strict";
import { XtablesGeneration } from "../../../linux/xtables.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/xtables", function () {
  this.timeout(20_000);
  const scratch = new ScratchNamespaces();

  for (const program of ["iptables-legacy", "ip6tables-legacy"]) {
    it(`sees every change by ${program}, and none where there was none`, () => {
      const namespace = scratch.create();
      using xtables = XtablesGeneration.open({ namespace });
      const iptables = (words: string) => run(namespace, program, ...words.split(" "));
      const changed = changes(xtables);
      // Asking makes no table.
      assert.equal(run(namespace, "cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"), "");
      assert.equal(changed(), false);
      iptables("-A INPUT -p tcp --dport 1 -j ACCEPT");
      assert.equal(changed(), true);
      assert.equal(changed(), false);
      // As many rules, as many bytes, another meaning.
      iptables("-R INPUT 1 -p tcp --dport 2 -j ACCEPT");
      assert.equal(changed(), true);
      iptables("-R INPUT 1 -p tcp --dport 2 -j DROP");
      assert.equal(changed(), true);
      iptables("-P FORWARD DROP");
      assert.equal(changed(), true);
      iptables("-t nat -N mine");
      assert.equal(changed(), true);
      assert.equal(changed(), false);
    });
  }

  it("does not take counting for a change", () => {
    const namespace = scratch.create();
    using xtables = XtablesGeneration.open({ namespace });
    run(namespace, "ip", "link", "set", "lo", "up");
    run(namespace, "iptables-legacy", "-A", "INPUT", "-m", "limit", "--limit", "1/hour", "-j", "ACCEPT");
    run(namespace, "ip6tables-legacy", "-A", "INPUT", "-j", "ACCEPT");
    const before = xtables.read();
    run(namespace, "ping", "-c", "1", "127.0.0.1");
    run(namespace, "ping", "-c", "1", "::1");
    const counted =
      run(namespace, "iptables-legacy-save", "-c") + run(namespace, "ip6tables-legacy-save", "-c");
    assert.match(counted, /\[[1-9]\d*:\d+\] -A INPUT -m limit/);
    assert.match(counted, /\[[1-9]\d*:\d+\] -A INPUT -j/);
    assert.equal(xtables.read(), before);
  });

  it("reads large tables now and then, and their size each time", () => {
    const namespace = scratch.create();
    using xtables = XtablesGeneration.open({ namespace });
    const rules = Array.from({ length: 3_000 }, (_, i) => `-A INPUT -s 10.${i >> 8}.${i & 255}.1 -j ACCEPT`);
    const restore = (list: string[]) =>
      run(
        namespace,
        "bash",
        "-c",
        `iptables-legacy-restore <<< '${["*filter", ":INPUT ACCEPT", ...list, "COMMIT"].join("\n")}'`,
      );
    restore(rules);
    const changed = changes(xtables);
    const looksUntilSeen = () => {
      for (let looks = 1; looks < 50; looks++) if (changed()) return looks;
      return undefined;
    };
    assert.equal(looksUntilSeen(), undefined);
    restore([...rules.slice(0, -1), "-A INPUT -s 10.99.99.99 -j ACCEPT"]);
    const looks = looksUntilSeen() ?? 99;
    assert.ok(looks < 5, `${looks} looks`);
    run(namespace, "iptables-legacy", "-D", "INPUT", "1");
    assert.equal(looksUntilSeen(), 1);
  });
});

/** Whether something changed since the last time it was asked. */
function changes(xtables: XtablesGeneration): () => boolean {
  let last = xtables.read();
  return () => {
    const before = last;
    last = xtables.read();
    return last !== before;
  };
}
