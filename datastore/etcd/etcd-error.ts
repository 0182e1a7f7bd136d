/**
 * What etcd, gRPC, TLS and the network say, as the datastore's typed errors, each with one sentence that says
 * what to look at. gRPC tells most of it only in message texts, so texts are what is looked at here, and here
 * only.
 */

import { DatastoreError, DatastoreErrorCode } from "../errors.ts";
import { GrpcError, GrpcErrorCode } from "./grpc.ts";

/** From a text in the error to what it means; the first match counts. */
const REASONS: readonly [RegExp, DatastoreErrorCode, string][] = [
  [/required revision has been compacted/, "COMPACTED", "the requested revision has been compacted"],
  [/future revision/, "COMPACTED", "the requested revision is not known"],
  [/database space exceeded/, "FULL", "etcd's database quota is used up"],
  [/request is too large|message larger than max/, "NOT_SUPPORTED", "the value is larger than etcd accepts"],
  [/authentication failed/, "UNAUTHORIZED", "wrong user name or password"],
  [/user name is empty|invalid auth token/, "UNAUTHORIZED", "etcd asks for a user name and password"],
  [/authentication is not enabled/, "UNAUTHORIZED", "a user is configured, but etcd has no users"],
  [/permission denied/i, "UNAUTHORIZED", "the user has no permission for this key"],
  [
    /self.signed certificate|unable to verify|unable to get.*issuer/,
    "UNAUTHORIZED",
    "its certificate is not signed by the configured authority",
  ],
  [/certificate has expired/, "UNAUTHORIZED", "its certificate has expired"],
  [/does not match certificate|altnames/i, "UNAUTHORIZED", "its certificate is for another name"],
  [
    /certificate required|bad certificate|handshake failure/,
    "UNAUTHORIZED",
    "it does not accept the client certificate",
  ],
  [/wrong version number|packet length too long/, "UNAVAILABLE", "it does not speak TLS"],
  [/Protocol error/, "UNAVAILABLE", "it does not speak gRPC"],
  [/ECONNREFUSED/, "UNAVAILABLE", "connection refused"],
  [/ENOTFOUND|EAI_AGAIN/, "UNAVAILABLE", "its name cannot be resolved"],
  [/EHOSTUNREACH|ENETUNREACH/, "UNAVAILABLE", "there is no route to it"],
  [/ETIMEDOUT/, "UNAVAILABLE", "connection timed out"],
  [/ECONNRESET|EPIPE|ended by|Connection dropped|socket/i, "UNAVAILABLE", "the connection was lost"],
  [/leader|request timed out|server stopped/, "UNAVAILABLE", "the cluster has no leader at the moment"],
];

export function wasNeverSent(error: unknown): boolean {
  return error instanceof GrpcError && error.code === GrpcErrorCode.NotSent;
}

/** etcd forgets tokens when it restarts, when they get old, and when users are changed. */
export function isStaleToken(error: unknown): boolean {
  return (
    error instanceof GrpcError &&
    error.code === GrpcErrorCode.Refused &&
    /invalid auth token|revision of auth store is old|revision in header is old/.test(error.message)
  );
}

export function toDatastoreError(error: unknown, endpoint: string): DatastoreError {
  if (error instanceof DatastoreError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const reason = REASONS.find(([pattern]) => pattern.test(text));
  return reason
    ? typed(reason[1], endpoint, reason[2], error)
    : typed("UNAVAILABLE", endpoint, text.replace(/^etcdserver: /, ""), error);
}

function typed(code: DatastoreErrorCode, endpoint: string, reason: string, cause: unknown): DatastoreError {
  const message =
    code === DatastoreErrorCode.Unavailable
      ? `etcd at ${endpoint} cannot be reached: ${reason}`
      : code === DatastoreErrorCode.Unauthorized
        ? `etcd at ${endpoint} cannot be used: ${reason}`
        : reason;
  return new DatastoreError(code, { message, cause });
}
