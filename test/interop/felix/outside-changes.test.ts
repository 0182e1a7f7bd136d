import assert from "node:assert/strict";
import { OutsideChanges } from "../../../felix/dataplane/outside-changes.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";

describe("felix/dataplane/outside-changes", function () {
  this.timeout(20_000);
  const scratch = new ScratchNamespaces();

  it("sees rules of every kind of iptables and sets, each change once, and what is not changed not at all", () => {
    const namespace = scratch.create();
    using outside = OutsideChanges.open({ namespace });
    const last = { rules: outside.generation("rules"), sets: outside.generation("sets") };
    const changed = () =>
      (["rules", "sets"] as const).filter(what => {
        const before = last[what];
        last[what] = outside.generation(what);
        return last[what] !== before;
      });
    const seen = (command: string) => {
      const [program = "", ...words] = command.split(" ");
      run(namespace, program, ...words);
      return changed();
    };
    assert.deepEqual(changed(), []);
    for (const program of ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]) {
      assert.deepEqual(seen(`${program} -A INPUT -j ACCEPT`), ["rules"], program);
      assert.deepEqual(seen(`${program} -S`), []);
      assert.deepEqual(seen(`${program} -F`), ["rules"], program);
    }
    assert.deepEqual(seen("nft add table inet mine"), ["rules"]);
    assert.deepEqual(seen("ipset create mine hash:ip"), ["sets"]);
    assert.deepEqual(seen("ipset add mine 10.0.0.1"), ["sets"]);
    assert.deepEqual(seen("ipset list"), []);
    assert.deepEqual(seen("ipset flush mine"), ["sets"]);
    assert.deepEqual(seen("ipset destroy mine"), ["sets"]);
  });
});
