import assert from "node:assert/strict";
import { policyChain, profileChain, setName } from "../../../../../felix/dataplane/iptables/names.ts";

describe("felix/dataplane/iptables/names", () => {
  it("names chains as Calico does", () => {
    assert.equal(policyChain("ingress", "gnp/allow-web"), "cali-pi-gnp/allow-web");
    assert.equal(
      policyChain("egress", "np/default/allow-frontend-to-backend"),
      "cali-po-_owbIPjETZHWce0m416k",
    );
    assert.equal(profileChain("ingress", "ksa.default.default"), "cali-pri-ksa.default.default");
  });

  it("hashes names that a restore file could not hold", () => {
    for (const name of ["my net", 'a"b', "a\\b", "it's", "größe"])
      assert.match(profileChain("egress", name), /^cali-pro-_[A-Za-z0-9_-]{18}$/);
  });

  it("names sets as Calico does", () => {
    assert.equal(setName(4, "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"), "cali40s:5y5I3VdRZfDU01O--xXAPx2");
    assert.equal(setName(6, "n:x"), "cali60n:x");
  });
});
