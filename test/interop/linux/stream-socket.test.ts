import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { openStreamListener, openStreamSocket } from "../../../linux/stream-socket.ts";
import { ip, ipVersion } from "../../../net/ip.ts";
import { ScratchNamespaces } from "./scratch-namespace.ts";

const PORT = 7179;

describe("linux/stream-socket", () => {
  const scratch = new ScratchNamespaces();
  const ends: (net.Server | net.Socket)[] = [];
  afterEach(() => {
    for (const end of ends.splice(0)) "destroy" in end ? end.destroy() : end.close();
  });

  function loopback(): string {
    const namespace = scratch.create();
    using netlink = Rtnetlink.open({ namespace });
    netlink.setLink("lo", { up: true });
    return namespace;
  }

  async function dial(namespace: string, address: string): Promise<string> {
    const fd = openStreamSocket(ipVersion(ip(address)), { namespace });
    const socket = new net.Socket({ fd, manualStart: true } as never);
    ends.push(socket);
    socket.connect({ host: address, port: PORT });
    const [data] = await once(socket, "data");
    return String(data);
  }

  for (const address of ["127.0.0.1", "::1"]) {
    it(`meets its like of the same namespace at ${address}, and nobody of another`, async () => {
      const [one, other] = [loopback(), loopback()];
      const fd = openStreamListener({ ip: ip(address), port: PORT, namespace: one });
      ends.push(net.createServer(socket => socket.end("hello")).listen({ fd }));
      assert.equal(await dial(one, address), "hello");
      await assert.rejects(dial(other, address), /ECONNREFUSED/);
    });
  }

  it("says which call failed", () => {
    const namespace = loopback();
    openStreamListener({ ip: ip("127.0.0.1"), port: PORT, namespace });
    assert.throws(() => openStreamListener({ ip: ip("127.0.0.1"), port: PORT, namespace }), {
      code: "EADDRINUSE",
    });
  });
});
