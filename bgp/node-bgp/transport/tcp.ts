/**
 * TCP by node:net.
 *
 * Reading is stopped by count: libuv would read up to 32 full buffers in one turn and keep timers and other neighbors waiting. After 64 KiB the socket pauses until
 * the next turn. The listener's backlog is 1024: with a small one, neighbors that dial at the same instant lose their SYN and come back seconds later.
 */

import { connect, createServer, type Server, Socket } from "node:net";
import { canonicalAddress } from "../address.ts";
import { BgpError } from "../errors.ts";
import { descriptorOf, openSocket, setPassword, setTtlSecurity } from "./tcp-options.ts";
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  Listener,
  ListenOptions,
  Transport,
} from "./transport.ts";

const BACKLOG = 1024;
const READ_PER_TURN = 64 * 1024;
/** How long a closing connection may take to send its last message. */
const LINGER_MS = 2_000;

class TcpConnection implements Connection {
  readonly socket: Socket;
  readonly remoteAddress: string;
  readonly remotePort: number;
  #handler: ConnectionHandler | undefined;
  #error: Error | undefined;
  #readThisTurn = 0;
  #isHeld = false;

  constructor(socket: Socket, remoteAddress: string, remotePort: number) {
    this.socket = socket;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    socket.setNoDelay(true);
    socket.on("error", error => {
      this.#error = error;
    });
    socket.on("connect", () => this.#handler?.onConnect());
    socket.on("drain", () => this.#handler?.onDrain());
    socket.on("close", () => {
      const handler = this.#handler;
      this.#handler = undefined;
      handler?.onClose(this.#error);
    });
  }

  get localAddress(): string {
    const { localAddress } = this.socket;
    return localAddress === undefined ? "" : (canonicalAddress(localAddress) ?? localAddress);
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  setHandler(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.socket.on("data", chunk => this.#onData(chunk as Buffer));
  }

  pause(): void {
    this.#isHeld = true;
    this.socket.pause();
  }

  resume(): void {
    this.#isHeld = false;
    if (this.#readThisTurn < READ_PER_TURN) this.socket.resume();
  }

  write(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  end(): void {
    this.#handler = undefined;
    // Still read, and dropped: closing with unread data would reset the connection and lose our last message.
    this.socket.resume();
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
    this.socket.once("close", () => clearTimeout(timer));
  }

  destroy(): void {
    this.#handler = undefined;
    this.socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#readThisTurn === 0) setImmediate(() => this.#onNextTurn());
    this.#readThisTurn += chunk.length;
    if (this.#readThisTurn >= READ_PER_TURN) this.socket.pause();
    this.#handler?.onData(chunk);
  }

  #onNextTurn(): void {
    this.#readThisTurn = 0;
    if (!this.#isHeld && this.socket.isPaused()) this.socket.resume();
  }
}

class TcpListener implements Listener {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  setPassword(address: string, password: string | undefined): void {
    const bound = this.#server.address();
    const isIpv6 = typeof bound === "object" && bound?.family === "IPv6";
    // Nobody comes here by IPv6.
    if (!isIpv6 && address.includes(":")) return;
    setPassword(descriptorOf(this.#server), isIpv6, address, password);
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      // Sessions are closed by their owners; connections that linger must not delay the stop.
      this.#server.close();
      this.#server.unref();
      resolve();
    });
  }
}

export const tcpTransport: Transport = {
  listen({ port, address }: ListenOptions, onConnection): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const server = createServer(socket => {
        const remote = socket.remoteAddress && canonicalAddress(socket.remoteAddress);
        if (remote) onConnection(new TcpConnection(socket, remote, socket.remotePort ?? 0));
        else socket.destroy();
      });
      const onError = (cause: Error) => {
        reject(
          new BgpError("ListenFailed", `cannot listen on ${address ?? "*"} port ${port}: ${cause.message}`, {
            cause,
          }),
        );
      };
      server.once("error", onError);
      const host = address === undefined ? {} : { host: address };
      server.listen({ port, backlog: BACKLOG, ...host }, () => {
        server.off("error", onError);
        // Accept errors (no descriptors left) are not ours to die of: the neighbor dials again.
        server.on("error", () => {});
        resolve(new TcpListener(server));
      });
    });
  },

  connect(options: ConnectOptions): Connection {
    const { address, port, localAddress, password, ttlSecurity } = options;
    const target = { host: address, port, ...(localAddress === undefined ? {} : { localAddress }) };
    if (password === undefined && ttlSecurity === undefined) {
      return new TcpConnection(connect(target), address, port);
    }
    let socket: Socket;
    try {
      socket = new Socket({ fd: openSocket(address, { password, ttlSecurity }) });
      socket.connect(target);
    } catch (error) {
      socket = new Socket();
      setImmediate(() => socket.destroy(error as Error));
    }
    return new TcpConnection(socket, address, port);
  },

  secure(connection: Connection, { ttlSecurity }): void {
    if (ttlSecurity === undefined || !(connection instanceof TcpConnection)) return;
    const isIpv6 = connection.socket.localFamily === "IPv6";
    // An IPv4 neighbor on a dual stack listener is an IPv6 socket whose packets are IPv4.
    const isMapped = isIpv6 && !connection.remoteAddress.includes(":");
    setTtlSecurity(descriptorOf(connection.socket), isIpv6 && !isMapped, ttlSecurity);
  },
};
