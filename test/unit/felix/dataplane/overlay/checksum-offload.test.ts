import assert from "node:assert/strict";
import { isChecksumOffloadBroken } from "../../../../../felix/dataplane/overlay/checksum-offload.ts";

describe("felix/dataplane/overlay/checksum-offload", () => {
  it("is broken before Linux 5.8", () => {
    for (const [release, broken] of [
      ["4.19.0-27-amd64", true],
      ["5.7.19", true],
      ["5.8.0", false],
      ["5.15.0-generic", false],
      ["6.18.44+deb14", false],
    ] as const)
      assert.equal(isChecksumOffloadBroken("", release), broken, release);
  });

  it("is what the configuration says, whatever the version", () => {
    assert.equal(isChecksumOffloadBroken("SNATFullyRandom=true, ChecksumOffloadBroken=true", "6.18.0"), true);
    assert.equal(isChecksumOffloadBroken("ChecksumOffloadBroken=false", "4.19.0"), false);
    assert.equal(isChecksumOffloadBroken("ChecksumOffloadBroken=perhaps", "6.18.0"), false);
  });
});
