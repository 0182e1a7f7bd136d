/**
 * Requests to whichever member of the cluster answers. One etcd3 client per member, so that it is decided here,
 * and not by chance inside the library, who is asked next and what may be asked twice:
 *
 * - A read is asked of every member before it fails.
 * - A write is repeated only if it certainly never left: repeated blindly, a compare-and-swap that did happen
 *   answers "conflict" with itself.
 *
 * etcd3 (with gRPC 170 ms and 76 MB) is loaded only when etcd is used. Its retries and circuit breakers are
 * switched off: they turn "refused" into "circuit open" and keep a member that is back locked out for seconds.
 */

import type { Etcd3, IOptions } from "etcd3";
import type { OperationOptions } from "../datastore.ts";
import { DatastoreErrorCode } from "../errors.ts";
import { toDatastoreError, wasNeverSent } from "./etcd-error.ts";
import type { EtcdOptions } from "./options.ts";

const TIMEOUT_MS = 10_000;
const KEEPALIVE_MS = 30_000;

/** Asynchronous, because the library also "executes" errors that must not come out of a stream's handler. */
const NO_POLICY = { execute: async <T>(call: () => T) => await call() };

type Library = typeof import("etcd3");

export class EtcdConnection {
  readonly timeoutMs: number;
  readonly #options: EtcdOptions;
  readonly #library: Library;
  readonly #clients: (Etcd3 | undefined)[] = [];
  #current: number;

  static async open(options: EtcdOptions): Promise<EtcdConnection> {
    return new EtcdConnection(options, await import("etcd3"));
  }

  constructor(options: EtcdOptions, library: Library) {
    this.#options = options;
    this.#library = library;
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    // Many agents with one configuration should not all sit on the first member.
    this.#current = Math.floor(Math.random() * options.endpoints.length);
  }

  read<T>(request: (client: Etcd3) => Promise<T>, options?: OperationOptions): Promise<T> {
    return this.#request(request, options, () => true);
  }

  write<T>(request: (client: Etcd3) => Promise<T>, options?: OperationOptions): Promise<T> {
    return this.#request(request, options, wasNeverSent);
  }

  /** The error of a stream that was opened with `read`, typed; the next request goes to the next member. */
  failed(error: unknown): Error {
    const typed = toDatastoreError(error, this.#endpoint(), this.timeoutMs);
    this.#next();
    return typed;
  }

  close(): void {
    for (const client of this.#clients.splice(0)) client?.close();
  }

  async #request<T>(
    request: (client: Etcd3) => Promise<T>,
    options: OperationOptions | undefined,
    mayRepeat: (error: unknown) => boolean,
  ): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      options?.signal?.throwIfAborted();
      try {
        return await orAbort(request(this.#client()), options?.signal);
      } catch (error) {
        if (options?.signal?.aborted) throw error;
        const typed = toDatastoreError(error, this.#endpoint(), this.timeoutMs);
        if (typed.code !== DatastoreErrorCode.Unavailable) throw typed;
        this.#next();
        if (attempts >= this.#options.endpoints.length || !mayRepeat(error)) throw typed;
      }
    }
  }

  #endpoint(): string {
    return this.#options.endpoints[this.#current]!;
  }

  #next(): void {
    this.#current = (this.#current + 1) % this.#options.endpoints.length;
  }

  #client(): Etcd3 {
    this.#clients[this.#current] ??= new this.#library.Etcd3(this.#clientOptions(this.#endpoint()));
    return this.#clients[this.#current]!;
  }

  #clientOptions(endpoint: string): IOptions {
    const { tls, username, password, keepaliveMs = KEEPALIVE_MS } = this.#options;
    return {
      hosts: [endpoint],
      ...(tls && {
        credentials: {
          rootCertificate: tls.ca,
          privateKey: tls.key,
          certChain: tls.cert,
        } as NonNullable<IOptions["credentials"]>,
      }),
      ...(username && { auth: { username, password: password ?? "" } }),
      defaultCallOptions: context => (context.isStream ? {} : { deadline: Date.now() + this.timeoutMs }),
      faultHandling: { host: () => NO_POLICY, global: NO_POLICY } as unknown as NonNullable<
        IOptions["faultHandling"]
      >,
      grpcOptions: {
        // gRPC's own limit is 4 MB, less than a page of large blocks.
        "grpc.max_receive_message_length": -1,
        "grpc.keepalive_time_ms": keepaliveMs,
        "grpc.keepalive_timeout_ms": Math.ceil(keepaliveMs / 3),
        // By itself gRPC waits up to two minutes before it looks at a restarted server again.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 2000,
        // A connection that failed is replaced at once, not after what its predecessor still had to wait.
        "grpc.use_local_subchannel_pool": 1,
      },
    };
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
