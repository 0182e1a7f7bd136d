/**
 * Requests to whichever member of the cluster answers. One channel per member; it is decided here who is asked
 * next and what may be asked twice:
 *
 * - A read is asked of every member before it fails.
 * - A write is repeated only if it certainly never left: repeated blindly, a compare-and-swap that did happen
 *   answers "conflict" with itself.
 */

import type { OperationOptions } from "../datastore.ts";
import { DatastoreErrorCode } from "../errors.ts";
import { isStaleToken, toDatastoreError, wasNeverSent } from "./etcd-error.ts";
import { Channel, type MessageStream, type MessageStreamHandler, type Metadata } from "./grpc.ts";
import { authenticateRequest, METHOD, readToken } from "./messages.ts";
import type { EtcdOptions } from "./options.ts";

const TIMEOUT_MS = 10_000;
const KEEPALIVE_MS = 30_000;

export class EtcdConnection {
  readonly #members: Member[];
  #current: number;

  constructor(options: EtcdOptions) {
    this.#members = options.endpoints.map(endpoint => new Member(endpoint, options));
    // Many agents with one configuration should not all sit on the first member.
    this.#current = Math.floor(Math.random() * options.endpoints.length);
  }

  read(method: string, message: Buffer, options?: OperationOptions): Promise<Buffer> {
    return this.#request(
      member => member.unary(method, message),
      options,
      () => true,
    );
  }

  write(method: string, message: Buffer, options?: OperationOptions): Promise<Buffer> {
    return this.#request(member => member.unary(method, message), options, wasNeverSent);
  }

  stream(method: string, handler: MessageStreamHandler): Promise<MessageStream> {
    return this.#request(
      member => member.stream(method, handler),
      undefined,
      () => true,
    );
  }

  /** The error of a stream, typed; the next request goes to the next member. */
  failed(error: unknown): Error {
    const member = this.#member();
    this.#leave(member);
    return toDatastoreError(error, member.endpoint);
  }

  close(): void {
    for (const member of this.#members) member.close();
  }

  async #request<T>(
    request: (member: Member) => Promise<T>,
    options: OperationOptions | undefined,
    mayRepeat: (error: unknown) => boolean,
  ): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      options?.signal?.throwIfAborted();
      const member = this.#member();
      try {
        return await orAbort(request(member), options?.signal);
      } catch (error) {
        if (options?.signal?.aborted) throw error;
        const typed = toDatastoreError(error, member.endpoint);
        if (typed.code !== DatastoreErrorCode.Unavailable) throw typed;
        this.#leave(member);
        if (attempts >= this.#members.length || !mayRepeat(error)) throw typed;
      }
    }
  }

  #member(): Member {
    return this.#members[this.#current]!;
  }

  /** Once, however many requests the member has failed. */
  #leave(member: Member): void {
    if (this.#member() === member) this.#current = (this.#current + 1) % this.#members.length;
  }
}

/** One member of the cluster, and the token it gave us where it asks who we are. */
class Member {
  readonly endpoint: string;
  readonly #channel: Channel;
  readonly #user: { readonly name: string; readonly password: string } | undefined;
  #token: Promise<string> | undefined;

  constructor(endpoint: string, { tls, timeoutMs, keepaliveMs, username, password }: EtcdOptions) {
    this.endpoint = endpoint;
    this.#channel = new Channel(endpoint, {
      tls,
      timeoutMs: timeoutMs ?? TIMEOUT_MS,
      keepaliveMs: keepaliveMs ?? KEEPALIVE_MS,
    });
    this.#user = username ? { name: username, password: password ?? "" } : undefined;
  }

  unary(method: string, message: Buffer): Promise<Buffer> {
    return this.#authenticated(metadata => this.#channel.unary(method, message, metadata));
  }

  stream(method: string, handler: MessageStreamHandler): Promise<MessageStream> {
    return this.#authenticated(metadata => this.#channel.stream(method, metadata, handler));
  }

  close(): void {
    this.#channel.close();
  }

  /** A token that the member does not know any more is renewed, once: it refused before it looked at the request. */
  async #authenticated<T>(request: (metadata: Metadata) => Promise<T>): Promise<T> {
    if (!this.#user) return request({});
    const token = this.#currentToken(this.#user);
    try {
      return await request({ token: await token });
    } catch (error) {
      if (!isStaleToken(error)) throw error;
      if (this.#token === token) this.#token = undefined;
    }
    return request({ token: await this.#currentToken(this.#user) });
  }

  #currentToken({ name, password }: { name: string; password: string }): Promise<string> {
    this.#token ??= this.#channel
      .unary(METHOD.authenticate, authenticateRequest(name, password), {})
      .then(readToken)
      .catch(error => {
        this.#token = undefined;
        throw error;
      });
    return this.#token;
  }
}

function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
