import assert from "node:assert/strict";
import { logPrefix } from "../../../../felix/dataplane/log-prefix.ts";

describe("felix/dataplane/log-prefix", () => {
  it("says in the log who logs", () => {
    const policy = {
      kind: "policy",
      name: "np/shop/web",
      shortKind: "np",
      fullName: "shop/web",
      tier: "security",
    } as const;
    assert.equal(logPrefix("calico-packet", policy), "calico-packet");
    assert.equal(logPrefix("%t %k %n %p %x", policy), "security np web shop/web %x");
    const profile = { ...policy, kind: "profile", fullName: "open" } as const;
    assert.equal(logPrefix("%n", profile), "open");
  });
});
