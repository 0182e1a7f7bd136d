import assert from "node:assert/strict";
import { setTxChecksumOffload, txChecksumOffload } from "../../../linux/ethtool.ts";
import { SystemCallError } from "../../../linux/libc.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/ethtool", () => {
  const scratch = new ScratchNamespaces();

  it("lets the kernel compute the checksums of what an interface sends, or the interface", () => {
    const namespace = scratch.create();
    run(namespace, "ip", "link", "add", "vx", "type", "vxlan", "id", "7", "dstport", "4789");
    assert.equal(txChecksumOffload("vx", namespace), true);
    setTxChecksumOffload("vx", false, namespace);
    assert.equal(txChecksumOffload("vx", namespace), false);
    setTxChecksumOffload("vx", true, namespace);
    assert.equal(txChecksumOffload("vx", namespace), true);
  });

  it("says which interface is not there", () => {
    assert.throws(
      () => setTxChecksumOffload("nothing", false, scratch.create()),
      (error: unknown) =>
        error instanceof SystemCallError && error.code === "ENODEV" && /nothing/.test(error.message),
    );
  });
});
