/**
 * gRPC over Node's own HTTP/2, as much of it as etcd needs: calls with one answer, and streams.
 *
 * Why not the grpc-js library (which etcd3 uses): it takes twice the CPU time per call, which is most of what a write costs
 * (`test/bench/ipam.ts`), and 0.13 s and 23 MB to load, which a plugin that is started for every container pays
 * every time. And it decides by itself when to look at a server again, where we know better.
 *
 * - A connection is made when one is needed and there is none; nothing is done in the background.
 * - It counts as made when the server has said its first word (SETTINGS). A process that is stopped accepts
 *   connections, too: requests that wait for it have certainly not been seen by anyone.
 * - While something is asked, the connection is probed; idle, it does not keep the process running.
 */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import type { EtcdTls } from "./options.ts";

export const GrpcErrorCode = {
  /** The server answered with an error: `message` is its text. */
  Refused: "REFUSED",
  /** There is no connection, or the server took no request: it has certainly not been seen. */
  NotSent: "NOT_SENT",
  /** The connection was lost under the request. */
  Lost: "LOST",
  /** No answer in time. */
  Deadline: "DEADLINE",
} as const;

export type GrpcErrorCode = (typeof GrpcErrorCode)[keyof typeof GrpcErrorCode];

export class GrpcError extends Error {
  readonly code: GrpcErrorCode;
  constructor(code: GrpcErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "GrpcError";
    this.code = code;
  }
}

export interface ChannelOptions {
  readonly tls?: EtcdTls | undefined;
  /** For making a connection, and for a call. */
  readonly timeoutMs: number;
  /** While something is asked, the connection is probed each time this has passed; without an answer for a third of it, it is given up. */
  readonly keepaliveMs: number;
}

/** Sent with each request. */
export type Metadata = Readonly<Record<string, string>>;

export interface MessageStream {
  send(message: Buffer): void;
  /** Nothing is reported after this. */
  cancel(): void;
}

export interface MessageStreamHandler {
  onMessage(message: Buffer): void;
  /** Once, unless cancelled: a stream of ours has no good end. */
  onEnd(error: GrpcError): void;
}

/** Answers of lists are megabytes; the protocol's own 64 KB would have them wait for us every few entries. */
const STREAM_WINDOW_BYTES = 4 << 20;
const CONNECTION_WINDOW_BYTES = 16 << 20;
/** What Node may hold for a connection before it resets new requests: its own 10 MB are less than a long list. */
const MAX_MEMORY_MB = 1024;

/** A flag (0: not compressed) and the length go before each message. */
const FRAME_HEAD_BYTES = 5;

/** A server, connected when needed. */
export class Channel {
  readonly #endpoint: string;
  readonly #options: ChannelOptions;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #closed = false;

  constructor(endpoint: string, options: ChannelOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
  }

  /** @throws GrpcError */
  async unary(method: string, message: Buffer, metadata: Metadata): Promise<Buffer> {
    const connection = this.#usable() ?? (await this.#connect());
    return connection.unary(method, message, metadata);
  }

  /** @throws GrpcError if there is no connection; what comes later is told to `handler` */
  async stream(method: string, metadata: Metadata, handler: MessageStreamHandler): Promise<MessageStream> {
    const connection = this.#usable() ?? (await this.#connect());
    return connection.stream(method, metadata, handler);
  }

  /** Whatever is being asked fails. */
  close(): void {
    this.#closed = true;
    this.#connection?.close();
  }

  #usable(): Connection | undefined {
    return this.#connection?.usable ? this.#connection : undefined;
  }

  #connect(): Promise<Connection> {
    this.#connecting ??= this.#dial().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #dial(): Promise<Connection> {
    if (this.#closed) throw new GrpcError(GrpcErrorCode.NotSent, "the client has been closed");
    this.#connection = await Connection.open(this.#endpoint, this.#options);
    if (this.#closed) this.#connection.close();
    return this.#connection;
  }
}

class Connection {
  readonly #session: ClientHttp2Session;
  readonly #options: ChannelOptions;
  #requests = 0;
  #probe: NodeJS.Timeout | undefined;
  /** Why it ended. */
  #failure: Error | undefined;

  static async open(endpoint: string, options: ChannelOptions): Promise<Connection> {
    const session = connect(endpoint, {
      ...options.tls,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
      maxSessionMemory: MAX_MEMORY_MB,
    });
    const connection = new Connection(session, options);
    const timer = setTimeout(
      () => session.destroy(new Error(noAnswerWithin(options.timeoutMs))),
      options.timeoutMs,
    );
    await new Promise<void>(resolve => {
      session.once("remoteSettings", () => resolve());
      session.once("close", resolve);
    });
    clearTimeout(timer);
    if (session.destroyed) throw connection.#notSent();
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    connection.#idle();
    return connection;
  }

  constructor(session: ClientHttp2Session, options: ChannelOptions) {
    this.#session = session;
    this.#options = options;
    session.on("error", error => {
      this.#failure ??= error;
    });
    // What TLS 1.3 refuses after the handshake (our certificate) ends the session, but Node leaves the socket open,
    // and the session never closes.
    session.on("connect", (_, socket) => socket.on("error", () => socket.destroy()));
    session.on("close", () => clearInterval(this.#probe));
  }

  /** After the server's GOAWAY, requests under way are still answered, but it takes no new ones. */
  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  close(): void {
    this.#session.destroy();
  }

  unary(method: string, message: Buffer, metadata: Metadata): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const { timeoutMs } = this.#options;
      const frames = new FrameReader();
      let answer: Buffer | undefined;
      const stream = this.#request(method, metadata, {
        onData: chunk => {
          frames.push(chunk, each => {
            answer = each;
          });
        },
        onEnd: error => {
          clearTimeout(timer);
          if (error) reject(error);
          else if (answer) resolve(answer);
          else reject(new GrpcError(GrpcErrorCode.Lost, "an answer without a message"));
        },
      });
      const timer = setTimeout(() => {
        reject(new GrpcError(GrpcErrorCode.Deadline, noAnswerWithin(timeoutMs)));
        stream.close(constants.NGHTTP2_CANCEL);
        this.#ping();
      }, timeoutMs);
      stream.end(framed(message));
    });
  }

  stream(method: string, metadata: Metadata, handler: MessageStreamHandler): MessageStream {
    const frames = new FrameReader();
    let over = false;
    const stream = this.#request(method, metadata, {
      onData: chunk => {
        frames.push(chunk, message => {
          if (!over) handler.onMessage(message);
        });
      },
      onEnd: error => {
        if (over) return;
        over = true;
        handler.onEnd(error ?? new GrpcError(GrpcErrorCode.Lost, "the stream was ended by the server"));
      },
    });
    return {
      send: message => {
        if (!over) stream.write(framed(message));
      },
      cancel: () => {
        over = true;
        stream.close(constants.NGHTTP2_CANCEL);
      },
    };
  }

  /** `onEnd` is called once, without an error if the server says that all is well. @throws GrpcError */
  #request(
    method: string,
    metadata: Metadata,
    handler: { onData: (chunk: Buffer) => void; onEnd: (error: GrpcError | undefined) => void },
  ): ClientHttp2Stream {
    if (!this.usable) throw this.#notSent();
    const stream = this.#session.request({
      ":method": "POST",
      ":path": method,
      "content-type": "application/grpc",
      te: "trailers",
      ...metadata,
    });
    let verdict: Verdict | undefined;
    let failure: Error | undefined;
    const read = (headers: IncomingHttpHeaders) => {
      verdict = verdictOf(headers) ?? verdict;
    };
    // An error comes as the only headers, anything else after the message.
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("data", chunk => {
      try {
        handler.onData(chunk);
      } catch (error) {
        stream.destroy(error as Error);
      }
    });
    stream.on("error", error => {
      failure = error;
    });
    stream.on("close", () => {
      this.#requests--;
      if (this.#requests === 0) this.#idle();
      handler.onEnd(verdict ? verdict.error : this.#lost(stream, failure));
    });
    this.#requests++;
    if (this.#requests === 1) this.#busy();
    return stream;
  }

  #busy(): void {
    this.#session.ref();
    this.#probe ??= setInterval(() => {
      if (this.#requests > 0) this.#ping();
    }, this.#options.keepaliveMs).unref();
  }

  #idle(): void {
    if (!this.#session.destroyed) this.#session.unref();
  }

  #ping(): void {
    if (!this.usable) return;
    const timer = setTimeout(
      () => this.#session.destroy(new Error("Connection dropped: no answer to a probe")),
      this.#options.keepaliveMs / 3,
    );
    // Also called when the connection ends.
    this.#session.ping(() => clearTimeout(timer));
  }

  #lost({ rstCode }: ClientHttp2Stream, failure: Error | undefined): GrpcError {
    // The server says that it has not looked at the request.
    if (rstCode === constants.NGHTTP2_REFUSED_STREAM) {
      return new GrpcError(GrpcErrorCode.NotSent, "the server takes no requests", failure);
    }
    return this.#ended(GrpcErrorCode.Lost, this.#failure ?? failure);
  }

  #notSent(): GrpcError {
    return this.#ended(GrpcErrorCode.NotSent, this.#failure);
  }

  #ended(code: GrpcErrorCode, cause: Error | undefined): GrpcError {
    return new GrpcError(code, textOf(cause) ?? "the connection was ended by the server", cause);
  }
}

interface Verdict {
  readonly error: GrpcError | undefined;
}

/** Undefined for headers that only precede the answer. */
function verdictOf(headers: IncomingHttpHeaders): Verdict | undefined {
  const status = headers["grpc-status"];
  if (status === "0") return { error: undefined };
  if (status !== undefined) {
    const message = unescaped(String(headers["grpc-message"] ?? `gRPC status ${status}`));
    return { error: new GrpcError(GrpcErrorCode.Refused, message) };
  }
  const http = headers[":status"];
  if (http === undefined || Number(http) === 200) return undefined;
  return { error: new GrpcError(GrpcErrorCode.Refused, `it does not speak gRPC (HTTP status ${http})`) };
}

/** Cuts what arrives into messages. */
class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;
  /** The bytes to wait for: joining the pieces of a long message each time one comes would cost their square. */
  #wanted = FRAME_HEAD_BYTES;

  push(chunk: Buffer, onMessage: (message: Buffer) => void): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#wanted) return;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    for (;;) {
      this.#wanted =
        rest.length < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + rest.readUInt32BE(1);
      if (rest.length < this.#wanted) break;
      if (rest[0] !== 0) throw new GrpcError(GrpcErrorCode.Lost, "a compressed message was not asked for");
      onMessage(rest.subarray(FRAME_HEAD_BYTES, this.#wanted));
      rest = rest.subarray(this.#wanted);
    }
    this.#chunks = [rest];
    this.#length = rest.length;
  }
}

function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, FRAME_HEAD_BYTES);
  return frame;
}

function noAnswerWithin(milliseconds: number): string {
  return `no answer within ${milliseconds / 1000} s`;
}

/** When every address of a host refuses, the error is a list without a text of its own. */
function textOf(error: Error | undefined): string | undefined {
  if (error instanceof AggregateError) return error.errors.map(each => (each as Error).message).join("; ");
  return error?.message;
}

/** gRPC sends what is not ASCII as percent signs. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
