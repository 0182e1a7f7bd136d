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
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Known once connected. */
  readonly localAddress: string;
  /** Bytes written and not yet taken by the kernel. */
  readonly writableLength: number;
  setHandler(handler: ConnectionHandler): void;
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

export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  readonly localAddress?: string | undefined;
  readonly password?: string | undefined;
  readonly ttlSecurity?: number | undefined;
}

export interface ListenOptions {
  readonly port: number;
  readonly address?: string | undefined;
}

export interface Listener {
  readonly port: number;
  /** Requires TCP MD5 from `address`, or stops requiring it. Throws a {@link BgpError} where the kernel refuses. */
  setPassword(address: string, password: string | undefined): void;
  close(): Promise<void>;
}

export interface Transport {
  /** `onConnection` gets connected connections, with the remote address already in canonical form. */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listener>;
  connect(options: ConnectOptions): Connection;
  /** Applies per-neighbor options to an accepted connection (GTSM). */
  secure?(connection: Connection, options: { readonly ttlSecurity?: number | undefined }): void;
}
