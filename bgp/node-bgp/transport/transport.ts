/**
 * The seam between sessions and sockets: real TCP (tcp.ts) or two ends of a memory pipe in tests. A connection is a
 * byte stream with back pressure; it reports to one handler and never throws.
 */

export interface ConnectionHandler {
  onConnect(): void;
  /** The chunk is the handler's: the transport does not write to it again. */
  onData(chunk: Uint8Array): void;
  /** Everything written has been taken by the kernel. */
  onDrain(): void;
  /** Once, whatever the reason; nothing follows it. */
  onClose(error?: Error): void;
}

export interface Connection {
  /** Canonical text; a link-local address with its zone. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Known once connected. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Bytes written and not yet taken by the kernel. */
  readonly writableLength: number;
  /** May be exchanged; what arrives before the first one waits for it. */
  setHandler(handler: ConnectionHandler): void;
  /** Gives back what was read: it comes once more, before everything else, in a later turn of the event loop. */
  unread(bytes: Uint8Array): void;
  /** Stops reading; what is on its way already still comes. */
  pause(): void;
  resume(): void;
  /** Keeps a reference to `bytes` until it is sent when writableLength is above 0 afterwards. */
  write(bytes: Uint8Array): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once; the handler hears no more of it. */
  destroy(): void;
}

/** How a connection is tied to its neighbor, beyond addresses. */
export interface SocketSecurity {
  /** GTSM: hops the neighbor may be away. */
  readonly ttlSecurity?: number | undefined;
  /** The interface segments must come and go by. */
  readonly interface?: string | undefined;
}

export interface ConnectOptions extends SocketSecurity {
  readonly address: string;
  readonly port: number;
  readonly localAddress?: string | undefined;
  readonly password?: string | undefined;
}

export interface ListenOptions {
  readonly port: number;
  /** One address of this host, or `0.0.0.0` or `::`, which are all of their own version only. */
  readonly address: string;
  readonly interface?: string | undefined;
}

/** How far the memory for TCP MD5 keys of a listener goes. */
export interface PasswordRoom {
  readonly keys: number;
  /** So many fit. */
  readonly room: number;
  /** net.core.optmem_max, in bytes. */
  readonly optionMemory: number;
  /** A value for it that is enough for twice the keys. */
  readonly needed: number;
}

export interface Listener {
  readonly port: number;
  /**
   * Requires TCP MD5 from an address, or from a prefix; undefined: no longer. Sessions there are keep their key. Throws a {@link BgpError}
   * where the kernel refuses: `PasswordRoom`, `NativeMissing`, `SocketOption`.
   */
  setPassword(peers: string, password: string | undefined): void;
  /** Undefined where there are no keys, or it is not known. */
  passwordRoom?(): PasswordRoom | undefined;
  /** Some neighbor is protected by GTSM, and so is likely to expect it of us, from the first segment on. */
  expectTtlSecurity?(): void;
  close(): Promise<void>;
}

export interface Transport {
  /** `onConnection` gets connected connections, with the remote address in canonical form. Throws {@link BgpError} `ListenFailed`. */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listener>;
  connect(options: ConnectOptions): Connection;
  /** Applies per-neighbor options to an accepted connection. */
  secure?(connection: Connection, options: SocketSecurity): void;
}
