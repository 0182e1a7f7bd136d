import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync } from "node:fs";
import net from "node:net";
import { inNamespace } from "../../../linux/namespace.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import {
  bindToDevice,
  openTcpListener,
  openTcpSocket,
  setMinimumTtl,
  setTcpMd5Key,
  setTrafficClass,
  setTtl,
} from "../../../linux/socket-options.ts";
import { type Ip, ip, ipVersion } from "../../../net/ip.ts";
import { mac } from "../../../net/mac.ts";
import { ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/socket-options", () => {
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

  /** A server on `fd` that greets whoever gets through. */
  async function serve(fd: number): Promise<number> {
    const server = net.createServer(socket => {
      ends.push(socket);
      socket.on("error", () => {});
      socket.end("hello");
    });
    ends.push(server);
    server.listen({ fd });
    await once(server, "listening");
    return (server.address() as net.AddressInfo).port;
  }

  /** What the server says to a client that has dressed its socket so, or undefined within the time. */
  async function dial(
    namespace: string,
    host: Ip,
    port: number,
    dress: (fd: number) => void,
    timeoutMs = 300,
  ): Promise<string | undefined> {
    const fd = openTcpSocket(ipVersion(host), { namespace });
    dress(fd);
    const socket = new net.Socket({
      fd,
      readable: true,
      writable: true,
      manualStart: true,
    } as net.SocketConstructorOpts);
    ends.push(socket);
    return new Promise(resolve => {
      const timer = setTimeout(() => resolve(undefined), timeoutMs);
      const settle = (text: string | undefined) => {
        clearTimeout(timer);
        resolve(text);
      };
      socket.on("error", () => settle(undefined));
      socket.on("data", data => settle(String(data)));
      socket.connect({ host, port });
    });
  }

  for (const host of [ip("127.0.0.1"), ip("::1")]) {
    it(`lets only the right MD5 key through to ${host}`, async () => {
      const namespace = loopback();
      const fd = openTcpListener({ ip: host, port: 0, namespace });
      setTcpMd5Key(fd, host, "secret");
      const port = await serve(fd);
      assert.equal(await dial(namespace, host, port, fd => setTcpMd5Key(fd, host, "secret"), 4000), "hello");
      assert.equal(await dial(namespace, host, port, fd => setTcpMd5Key(fd, host, "guess")), undefined);
      assert.equal(await dial(namespace, host, port, () => {}), undefined);
    });

    it(`lets only neighbours through to ${host} under TTL security`, async () => {
      const namespace = loopback();
      const fd = openTcpListener({ ip: host, port: 0, namespace });
      setMinimumTtl(fd, 255);
      const port = await serve(fd);
      assert.equal(await dial(namespace, host, port, fd => setTtl(fd, 255), 4000), "hello");
      assert.equal(await dial(namespace, host, port, fd => setTtl(fd, 64)), undefined);
    });
  }

  it("takes a key for a block of peers, and takes it away again", async () => {
    const namespace = loopback();
    const host = ip("127.0.0.1");
    const fd = openTcpListener({ ip: host, port: 0, namespace });
    setTcpMd5Key(fd, ip("127.0.0.0"), "block", 8);
    const port = await serve(fd);
    assert.equal(await dial(namespace, host, port, fd => setTcpMd5Key(fd, host, "block"), 4000), "hello");
    setTcpMd5Key(fd, ip("127.0.0.0"), "", 8);
    assert.equal(await dial(namespace, host, port, () => {}, 4000), "hello");
  });

  it("knows IPv4 peers of an IPv6 socket by their mapped addresses", () => {
    const fd = openTcpSocket(6, { namespace: loopback() });
    try {
      setTcpMd5Key(fd, ip("192.0.2.1"), "secret");
      setTrafficClass(fd, 0xc0);
    } finally {
      closeSync(fd);
    }
  });

  it("binds to a device, and says which call failed where there is none", async () => {
    const namespace = loopback();
    using netlink = Rtnetlink.open({ namespace });
    netlink.createVeth({ name: "v0", peerName: "v1", mac: mac("02:00:00:00:00:01") });
    const host = ip("127.0.0.1");
    const port = await serve(openTcpListener({ ip: host, port: 0, namespace }));
    assert.equal(await dial(namespace, host, port, fd => bindToDevice(fd, "lo"), 4000), "hello");
    assert.equal(await dial(namespace, host, port, fd => bindToDevice(fd, "v0")), undefined);
    const fd = openTcpSocket(4, { namespace });
    try {
      assert.throws(() => bindToDevice(fd, "nolink"), { code: "ENODEV", call: "setsockopt" });
      assert.throws(() => setTcpMd5Key(fd, host, "x".repeat(81)), RangeError);
    } finally {
      closeSync(fd);
    }
  });

  it("listens on an address that is not there yet, if asked to", () => {
    const namespace = loopback();
    const options = { ip: ip("192.0.2.9"), port: 179, namespace };
    assert.throws(() => openTcpListener(options), { code: "EADDRNOTAVAIL" });
    closeSync(openTcpListener({ ...options, freeBind: true }));
    inNamespace(namespace, () => closeSync(openTcpListener({ ip: ip("::"), port: 179 })));
  });
});
