/** Our side of gRPC against a server that can be told to misbehave: Node's HTTP/2 on loopback. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import {
  Channel,
  type ChannelOptions,
  GrpcError,
  type GrpcErrorCode,
} from "../../../../datastore/etcd/grpc.ts";

const QUICK = { timeoutMs: 2000, keepaliveMs: 10_000 };

const fails = (code: GrpcErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GrpcError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

describe("a gRPC channel", () => {
  let endpoint: string;
  let serve: (stream: ServerHttp2Stream, path: string, headers: Record<string, unknown>) => void;
  const sessions: ServerHttp2Session[] = [];
  const cleanups: (() => void)[] = [];

  const listen = async (server: Server): Promise<string> => {
    const sockets = new Set<Socket>();
    server.on("connection", socket => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  const open = (options: Partial<ChannelOptions> = {}, to = endpoint): Channel => {
    const channel = new Channel(to, { ...QUICK, ...options });
    cleanups.push(() => channel.close());
    return channel;
  };

  /** Answers with the request, in as many pieces as it is told. */
  const echo = (pieces: number) => async (stream: ServerHttp2Stream) => {
    const request = Buffer.concat(await stream.toArray());
    stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    const size = Math.ceil(request.length / pieces);
    for (let i = 0; i < pieces; i++) stream.write(request.subarray(i * size, (i + 1) * size));
    stream.end();
  };

  const refuse = (stream: ServerHttp2Stream, status: number, message: string) =>
    stream.respond(
      { "content-type": "application/grpc", "grpc-status": String(status), "grpc-message": message },
      { endStream: true },
    );

  beforeEach(async () => {
    sessions.length = 0;
    const server = createServer();
    server.on("session", session => sessions.push(session));
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      serve(stream, String(headers[":path"]), headers);
    });
    endpoint = await listen(server as unknown as Server);
    serve = echo(1);
  });

  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  describe("asking for one answer", () => {
    it("gets it, however long and in however many pieces", async () => {
      const channel = open();
      for (const length of [0, 1, 100, 65_536, 3_000_000]) {
        for (const pieces of [1, 2, 7]) {
          serve = echo(pieces);
          const message = Buffer.alloc(length, length % 251);
          assert.deepEqual(await channel.unary("/a/B", message, {}), message);
        }
      }
      assert.equal(sessions.length, 1);
    });

    it("gets each its own, when many ask at once over one connection", async () => {
      const channel = open();
      const messages = Array.from({ length: 500 }, (_, i) => Buffer.from(`message ${i}`));
      const answers = await Promise.all(messages.map(message => channel.unary("/a/B", message, {})));
      assert.deepEqual(answers, messages);
      assert.equal(sessions.length, 1);
    });

    it("says what it asks for, and who asks", async () => {
      const asked = new Promise<unknown[]>(resolve => {
        serve = (stream, path, headers) => {
          resolve([path, headers["content-type"], headers.te, headers.token]);
          echo(1)(stream);
        };
      });
      await open().unary("/etcdserverpb.KV/Range", Buffer.from("x"), { token: "secret" });
      assert.deepEqual(await asked, ["/etcdserverpb.KV/Range", "application/grpc", "trailers", "secret"]);
    });

    it("is told the server's error in its words", async () => {
      serve = stream => refuse(stream, 3, "etcdserver: 100%25 wr%C3%B6ng");
      await assert.rejects(
        open().unary("/a/B", Buffer.of(), {}),
        fails("REFUSED", /^etcdserver: 100% wröng$/),
      );
    });

    it("is told that this is no gRPC server", async () => {
      serve = stream => stream.respond({ ":status": 404 }, { endStream: true });
      await assert.rejects(open().unary("/a/B", Buffer.of(), {}), fails("REFUSED", /not speak gRPC.*404/));
    });

    it("waits only as long as it was told", async () => {
      serve = () => {};
      const channel = open({ timeoutMs: 50 });
      await assert.rejects(
        channel.unary("/a/B", Buffer.of(), {}),
        fails("DEADLINE", /no answer within 0.05 s/),
      );
      serve = echo(1);
      assert.deepEqual(await channel.unary("/a/B", Buffer.from("on"), {}), Buffer.from("on"));
      assert.equal(sessions.length, 1);
    });
  });

  describe("knows that nothing was asked", () => {
    it("where nobody listens", async () => {
      const server = createTcpServer();
      const nobody = await listen(server);
      server.close();
      await once(server, "close");
      await assert.rejects(
        open({}, nobody).unary("/a/B", Buffer.of(), {}),
        fails("NOT_SENT", /ECONNREFUSED/),
      );
    });

    it("of a server that accepts and is silent", async () => {
      const silent = await listen(createTcpServer());
      const channel = open({ timeoutMs: 50 }, silent);
      await assert.rejects(channel.unary("/a/B", Buffer.of(), {}), fails("NOT_SENT", /no answer within/));
    });

    it("of a server that speaks something else", async () => {
      const other = await listen(createTcpServer(socket => socket.end("SSH-2.0-other\r\n")));
      await assert.rejects(open({}, other).unary("/a/B", Buffer.of(), {}), fails("NOT_SENT", /./));
    });

    it("where the server says that it did not look at the request", async () => {
      serve = stream => stream.close(7); // REFUSED_STREAM
      await assert.rejects(open().unary("/a/B", Buffer.of(), {}), fails("NOT_SENT", /takes no requests/));
    });
  });

  describe("whose connection is lost", () => {
    it("does not know whether it was heard, and connects anew for the next request", async () => {
      serve = stream => stream.session?.destroy();
      const channel = open();
      await assert.rejects(channel.unary("/a/B", Buffer.of(), {}), fails("LOST", /ended|reset/i));
      serve = echo(1);
      await channel.unary("/a/B", Buffer.of(), {});
      assert.equal(sessions.length, 2);
    });

    it("loses no request that is answered while the server says goodbye", async () => {
      const channel = open();
      const said = new Promise<void>(resolve => {
        serve = stream => {
          stream.session?.goaway(0);
          setImmediate(() => echo(1)(stream));
          resolve();
        };
      });
      const first = channel.unary("/a/B", Buffer.from("first"), {});
      await said;
      assert.deepEqual(await first, Buffer.from("first"));
      serve = echo(1);
      assert.deepEqual(await channel.unary("/a/B", Buffer.from("second"), {}), Buffer.from("second"));
      assert.equal(sessions.length, 2);
    });

    it("notices silence while it waits", async () => {
      const { port } = new URL(endpoint);
      const through: Socket[] = [];
      const network = await listen(
        createTcpServer(socket => {
          const upstream = connect(Number(port), "127.0.0.1");
          through.push(upstream);
          upstream.on("error", () => socket.destroy());
          socket.on("error", () => upstream.destroy());
          socket.pipe(upstream).pipe(socket);
        }),
      );
      const channel = open({ keepaliveMs: 60 }, network);
      await channel.unary("/a/B", Buffer.of(), {});
      // As after a partition: connected, and never a word again.
      serve = () => through[0]!.pause().unpipe();
      const begin = performance.now();
      await assert.rejects(channel.unary("/a/B", Buffer.of(), {}), fails("LOST", /dropped/));
      assert.ok(performance.now() - begin < QUICK.timeoutMs / 2);
    });
  });

  describe("with a stream", () => {
    const collect = async (channel: Channel) => {
      const messages: string[] = [];
      let onEnd = (_: GrpcError) => {};
      const ended = new Promise<GrpcError>(resolve => {
        onEnd = resolve;
      });
      let arrived = () => {};
      const stream = await channel.stream(
        "/a/Watch",
        {},
        {
          onMessage: message => {
            messages.push(message.toString());
            arrived();
          },
          onEnd,
        },
      );
      const count = async (n: number) => {
        while (messages.length < n) {
          await new Promise<void>(resolve => {
            arrived = resolve;
          });
        }
        return messages;
      };
      return { stream, ended, count };
    };

    it("gets the messages, wherever the network cuts them", async () => {
      serve = stream => {
        stream.respond({ "content-type": "application/grpc" });
        const bytes = Buffer.concat(["one", "", "three"].map(text => frame(Buffer.from(text))));
        const next = (at: number) => {
          if (at < bytes.length) stream.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1));
        };
        next(0);
      };
      const { count } = await collect(open());
      assert.deepEqual(await count(3), ["one", "", "three"]);
    });

    it("sends what it is given", async () => {
      const got = new Promise<string>(resolve => {
        serve = stream => stream.once("data", (chunk: Buffer) => resolve(String(chunk.subarray(5))));
      });
      const { stream } = await collect(open());
      stream.send(Buffer.from("create"));
      assert.equal(await got, "create");
    });

    it("is told of the end, however it comes", async () => {
      const channel = open();
      serve = stream => refuse(stream, 14, "etcdserver: leader changed");
      assert.match((await (await collect(channel)).ended).message, /leader changed/);
      serve = stream =>
        stream.respond({ "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
      assert.match((await (await collect(channel)).ended).message, /ended by the server/);
      serve = stream => stream.session?.destroy();
      assert.equal((await (await collect(channel)).ended).code, "LOST");
    });

    it("ends it without disturbing another", async () => {
      const served: ServerHttp2Stream[] = [];
      serve = stream => {
        stream.respond({ "content-type": "application/grpc" });
        stream.write(frame(Buffer.from("hello")));
        served.push(stream);
      };
      const channel = open();
      const passing = await collect(channel);
      const lasting = await collect(channel);
      await Promise.all([passing.count(1), lasting.count(1)]);
      const closed = once(served[0]!, "close");
      passing.stream.cancel();
      await closed;
      served[1]!.write(frame(Buffer.from("still here")));
      assert.deepEqual(await lasting.count(2), ["hello", "still here"]);
      assert.deepEqual(await passing.count(1), ["hello"]);
    });
  });

  it("fails what is being asked when it is closed, and all that is asked later", async () => {
    const channel = open();
    const asked = new Promise<void>(resolve => {
      serve = () => resolve();
    });
    const answer = channel.unary("/a/B", Buffer.of(), {});
    await asked;
    channel.close();
    await assert.rejects(answer, fails("LOST", /./));
    await assert.rejects(channel.unary("/a/B", Buffer.of(), {}), fails("NOT_SENT", /closed/));
  });

  it("does not keep the program running when nothing is asked", async () => {
    const library = new URL("../../../../datastore/etcd/grpc.ts", import.meta.url);
    const program = `import { Channel } from "${library}";
      const channel = new Channel("${endpoint}", { timeoutMs: 60000, keepaliveMs: 60000 });
      await channel.unary("/a/B", Buffer.from("x"), {});`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });
});
