/**
 * TCP by node:net.
 *
 * Reading is stopped by count: libuv would read up to 32 full buffers in one turn and keep timers and other neighbors waiting. After 64 KiB the socket pauses until
 * the next turn. The listener's backlog is 1024: with a small one, neighbors that dial at the same instant lose their SYN and come back seconds later.
 *
 * Every socket is of one IP version, a listener on `::` too: there are no `::ffff:` mapped addresses to think of. No TCP keepalives: BGP has its own.
 */

import { connect, createServer, type Server, Socket } from "node:net";
import { canonicalAddress } from "../address.ts";
import { BgpError } from "../errors.ts";
import { descriptorOf } from "./native.ts";
import { openSocket, secureSocket, setGreatestTtl, setInterface, TRAFFIC_CLASS } from "./socket-options.ts";
import { passwordRoom, passwordRoomError, setPassword } from "./tcp-md5.ts";
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  Listener,
  ListenOptions,
  PasswordRoom,
  SocketSecurity,
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

  get localPort(): number {
    return this.socket.localPort ?? 0;
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  setHandler(handler: ConnectionHandler): void {
    if (this.#handler === undefined) this.socket.on("data", chunk => this.#onData(chunk as Buffer));
    this.#handler = handler;
  }

  unread(bytes: Uint8Array): void {
    this.socket.pause();
    this.socket.unshift(bytes);
    setImmediate(() => {
      if (!this.#isHeld) this.socket.resume();
    });
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
  readonly #isIpv6: boolean;
  readonly #keys = new Set<string>();

  constructor(server: Server, isIpv6: boolean) {
    this.#server = server;
    this.#isIpv6 = isIpv6;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  setPassword(peers: string, password: string | undefined): void {
    // Nobody comes here by the other version.
    if (peers.includes(":") !== this.#isIpv6) return;
    try {
      setPassword(descriptorOf(this.#server), peers, password);
    } catch (error) {
      const room = hasNoMemory(error) ? this.passwordRoom() : undefined;
      throw room === undefined ? error : passwordRoomError(peers, room);
    }
    if (password === undefined) this.#keys.delete(peers);
    else this.#keys.add(peers);
  }

  passwordRoom(): PasswordRoom | undefined {
    return this.#keys.size === 0 ? undefined : passwordRoom(descriptorOf(this.#server), this.#keys.size);
  }

  expectTtlSecurity(): void {
    setGreatestTtl(descriptorOf(this.#server), this.#isIpv6);
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

function hasNoMemory(error: unknown): boolean {
  return (
    error instanceof BgpError && error.detail.code === "SocketOption" && error.detail.system === "ENOMEM"
  );
}

export const tcpTransport: Transport = {
  listen({ port, address, interface: name }: ListenOptions, onConnection): Promise<Listener> {
    const isIpv6 = address.includes(":");
    return new Promise((resolve, reject) => {
      const server = createServer(socket => {
        const remote = socket.remoteAddress && canonicalAddress(socket.remoteAddress);
        if (!remote) {
          socket.destroy();
          return;
        }
        socket.setTypeOfService?.(TRAFFIC_CLASS);
        onConnection(new TcpConnection(socket, remote, socket.remotePort ?? 0));
      });
      const fail = (cause: NodeJS.ErrnoException) => {
        const text = `cannot listen on ${address} port ${port}: ${cause.message}`;
        reject(new BgpError({ code: "ListenFailed", address, port, system: cause.code }, text, { cause }));
      };
      server.once("error", fail);
      server.listen({ port, host: address, backlog: BACKLOG, ipv6Only: isIpv6 }, () => {
        server.off("error", fail);
        // Accept errors (no descriptors left) are not ours to die of: the neighbor dials again.
        server.on("error", () => {});
        try {
          if (name !== undefined) setInterface(descriptorOf(server), name);
          resolve(new TcpListener(server, isIpv6));
        } catch (error) {
          server.close();
          reject(error);
        }
      });
    });
  },

  connect(options: ConnectOptions): Connection {
    const { address, port, localAddress, password, ttlSecurity, interface: name } = options;
    const target = {
      host: address,
      port,
      typeOfService: TRAFFIC_CLASS,
      ...(localAddress === undefined ? {} : { localAddress }),
    };
    // A link-local address has its interface in it.
    const device = address.includes("%") ? undefined : name;
    if (password === undefined && ttlSecurity === undefined && device === undefined) {
      return new TcpConnection(connect(target), address, port);
    }
    let socket: Socket;
    try {
      socket = new Socket({ fd: openSocket(address, { password, ttlSecurity, interface: device }) });
      socket.connect(target);
    } catch (error) {
      socket = new Socket();
      setImmediate(() => socket.destroy(error as Error));
    }
    return new TcpConnection(socket, address, port);
  },

  secure(connection: Connection, { ttlSecurity, interface: name }: SocketSecurity): void {
    if (!(connection instanceof TcpConnection)) return;
    const device = connection.remoteAddress.includes("%") ? undefined : name;
    if (ttlSecurity === undefined && device === undefined) return;
    const isIpv6 = connection.remoteAddress.includes(":");
    secureSocket(descriptorOf(connection.socket), isIpv6, { ttlSecurity, interface: device });
  },
};
