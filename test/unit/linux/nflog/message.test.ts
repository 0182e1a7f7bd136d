import assert from "node:assert/strict";
import { readLoggedPacket, writeBind } from "../../../../linux/nflog/message.ts";
import { messages, written } from "../netlink/golden.ts";

describe("linux/nflog/message", () => {
  it("binds to a group: headers only, several packets in one message", () => {
    const options = {
      group: 258,
      copyBytes: 120,
      threshold: 100,
      timeoutCentiseconds: 10,
      bufferBytes: 65536,
    };
    assert.equal(
      written(w => writeBind(w, options)),
      "48000000 01040100 00000000 00000000 00000102 05000100 01000000 0a000200 00000078 02000000 " +
        "08000300 00010000 08000400 0000000a 08000500 00000064 06000600 00010000",
    );
  });

  it("reads what Linux 6.18 sends", () => {
    const [message] = messages(
      "54000000 00040000 00000000 00000000 02000002 08000100 08000300 08000a00 44524500 08000400 00000003 " +
        "08000500 00000004 18000900 45000014 00004000 40060000 0a000001 0a000002 08000c00 00000005",
    );
    assert.deepEqual(message && readLoggedPacket(message), {
      group: 2,
      prefix: "DRE",
      sequence: 5,
      inInterface: 3,
      outInterface: 4,
      packet: { source: "10.0.0.1", destination: "10.0.0.2", protocol: 6, bytes: 20 },
    });
  });
});
