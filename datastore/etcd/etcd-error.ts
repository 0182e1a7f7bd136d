/**
 * What etcd, gRPC, TLS and the network say, as the datastore's typed errors, each with one sentence that says
 * what to look at. gRPC tells most of it only in message texts, so texts are what is looked at here, and here
 * only.
 */

import { DatastoreError, DatastoreErrorCode } from "../errors.ts";

/** From a text in the error to what it means; the first match counts. */
const REASONS: readonly [RegExp, DatastoreErrorCode, string][] = [
  [/required revision has been compacted/, "COMPACTED", "the requested revision has been compacted"],
  [/future revision/, "COMPACTED", "the requested revision is not known"],
  [/database space exceeded/, "FULL", "etcd's database quota is used up"],
  [/request is too large/, "NOT_SUPPORTED", "the value is larger than etcd accepts"],
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
  [/ECONNREFUSED/, "UNAVAILABLE", "connection refused"],
  [/ENOTFOUND|EAI_AGAIN|Name resolution failed/, "UNAVAILABLE", "its name cannot be resolved"],
  [/EHOSTUNREACH|ENETUNREACH/, "UNAVAILABLE", "there is no route to it"],
  [/ETIMEDOUT/, "UNAVAILABLE", "connection timed out"],
  [/ECONNRESET|EPIPE|ended by server|Connection dropped|socket/i, "UNAVAILABLE", "the connection was lost"],
  [/leader|request timed out|server stopped/, "UNAVAILABLE", "the cluster has no leader at the moment"],
];

/** The connection was never made, so nothing was asked of etcd. */
const NOT_SENT =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|Name resolution failed|EHOSTUNREACH|ENETUNREACH|No connection established|certificate/;

export function wasNeverSent(error: unknown): boolean {
  return NOT_SENT.test(messageOf(error));
}

export function toDatastoreError(error: unknown, endpoint: string, timeoutMs: number): DatastoreError {
  if (error instanceof DatastoreError) return error;
  const text = messageOf(error);
  if (isDeadline(error, text)) {
    return typed("UNAVAILABLE", endpoint, `no answer within ${timeoutMs / 1000} s`, error);
  }
  const reason = REASONS.find(([pattern]) => pattern.test(text));
  return reason
    ? typed(reason[1], endpoint, reason[2], error)
    : typed("UNAVAILABLE", endpoint, text.replace(/^\w+: (\d+ \w+: )?/, ""), error);
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

function isDeadline(error: unknown, text: string): boolean {
  return error instanceof Error && /deadline.?exceeded/i.test(`${error.constructor.name} ${text}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
