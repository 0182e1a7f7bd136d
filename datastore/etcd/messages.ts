/**
 * The messages of etcd's API that we send and read (etcd's `rpc.proto` and `kv.proto`; the numbers are theirs).
 * What is asked is written as a function's result, ready to be sent; of what is answered, only what is used is read.
 */

import type { Revision } from "../datastore.ts";
import type { KeyValue, PathRange } from "../key-value-store.ts";
import { bytesField, Fields, integerField, messageField, textField } from "./protobuf.ts";

export const METHOD = {
  range: "/etcdserverpb.KV/Range",
  transaction: "/etcdserverpb.KV/Txn",
  deleteRange: "/etcdserverpb.KV/DeleteRange",
  watch: "/etcdserverpb.Watch/Watch",
  authenticate: "/etcdserverpb.Auth/Authenticate",
} as const;

export interface StoredItem extends KeyValue {
  readonly created: boolean;
}

export interface Range {
  /** Of the whole store, when it was asked. */
  readonly revision: Revision;
  readonly items: StoredItem[];
  /** The limit was reached. */
  readonly more: boolean;
}

export interface Transaction {
  readonly succeeded: boolean;
  readonly revision: Revision;
  /** What the range found or the deletion deleted. */
  readonly items: StoredItem[];
}

export interface WatchAnswer {
  readonly revision: Revision;
  readonly created: boolean;
  /** The watch is over. */
  readonly canceled: boolean;
  readonly cancelReason: string;
  /** Where not 0: why it is over, up to where history is gone. */
  readonly compactRevision: number;
  readonly events: WatchedItem[];
}

export interface WatchedItem {
  readonly deleted: boolean;
  readonly item: StoredItem;
  readonly previous: string | undefined;
}

export function getRequest(path: string): Buffer {
  return textField(1, path);
}

export function countRequest(path: string): Buffer {
  return Buffer.concat([textField(1, path), integerField(9, 1)]);
}

/** Up to `limit` items, as they were at `revision` where one is given. */
export function rangeRequest({ start, end }: PathRange, limit: number, revision?: Revision): Buffer {
  return Buffer.concat([
    textField(1, start),
    textField(2, end),
    integerField(3, limit),
    integerField(4, Number(revision ?? 0)),
  ]);
}

export function deleteRequest(path: string): Buffer {
  return Buffer.concat([textField(1, path), integerField(3, 1)]);
}

/** What must be so for a transaction to happen. */
export interface Condition {
  readonly path: string;
  /** Undefined: there is no such key. */
  readonly revision: Revision | undefined;
}

/** Puts if the condition holds, and otherwise reads what is there. */
export function putTransaction(condition: Condition, value: string): Buffer {
  return transaction(condition, messageField(2, textField(1, condition.path), textField(2, value)));
}

/** Deletes if the condition holds, and otherwise reads what is there. */
export function deleteTransaction(condition: Condition): Buffer {
  return transaction(condition, bytesField(3, deleteRequest(condition.path)));
}

function transaction({ path, revision }: Condition, operation: Buffer): Buffer {
  // `result` 0 is EQUAL. `target` 0 is the key's version, which is 0 where there is no key; 2 is its revision.
  const compare =
    revision === undefined
      ? messageField(1, textField(3, path), integerField(4, 0))
      : messageField(1, integerField(2, 2), textField(3, path), integerField(6, Number(revision)));
  return Buffer.concat([compare, bytesField(2, operation), messageField(3, bytesField(1, getRequest(path)))]);
}

/** Everything in the range from `from` on, with what was there before, and a sign of life now and then. */
export function watchRequest({ start, end }: PathRange, from: Revision): Buffer {
  return messageField(
    1,
    textField(1, start),
    textField(2, end),
    integerField(3, Number(from)),
    integerField(4, 1),
    integerField(6, 1),
  );
}

export function authenticateRequest(name: string, password: string): Buffer {
  return Buffer.concat([textField(1, name), textField(2, password)]);
}

export function readRange(message: Buffer): Range {
  return rangeOf(new Fields(message), 2);
}

/** What was deleted. */
export function readDeleted(message: Buffer): StoredItem[] {
  return rangeOf(new Fields(message), 3).items;
}

export function readTransaction(message: Buffer): Transaction {
  let revision = "0" as Revision;
  let succeeded = false;
  const items: StoredItem[] = [];
  const fields = new Fields(message);
  while (fields.next()) {
    if (fields.field === 1) revision = headerRevision(fields.message());
    else if (fields.field === 2) succeeded = fields.flag();
    else if (fields.field === 3) items.push(...operationItems(fields.message()));
  }
  return { succeeded, revision, items };
}

export function readWatchAnswer(message: Buffer): WatchAnswer {
  let revision = "0" as Revision;
  let created = false;
  let canceled = false;
  let compactRevision = 0;
  let cancelReason = "";
  const events: WatchedItem[] = [];
  const fields = new Fields(message);
  while (fields.next()) {
    if (fields.field === 1) revision = headerRevision(fields.message());
    else if (fields.field === 3) created = fields.flag();
    else if (fields.field === 4) canceled = fields.flag();
    else if (fields.field === 5) compactRevision = fields.integer();
    else if (fields.field === 6) cancelReason = fields.text();
    else if (fields.field === 11) events.push(eventOf(fields.message()));
  }
  return { revision, created, canceled, cancelReason, compactRevision, events };
}

export function readToken(message: Buffer): string {
  const fields = new Fields(message);
  while (fields.next()) if (fields.field === 2) return fields.text();
  return "";
}

/** Answers about keys look alike, save for the field their items are in. */
function rangeOf(fields: Fields, itemsField: number): Range {
  let revision = "0" as Revision;
  let more = false;
  const items: StoredItem[] = [];
  while (fields.next()) {
    if (fields.field === 1) revision = headerRevision(fields.message());
    else if (fields.field === itemsField) items.push(itemOf(fields.message()));
    else if (fields.field === 3) more = fields.flag();
  }
  return { revision, items, more };
}

/** Of one operation in a transaction: 1 is a range's answer, 3 a deletion's. */
function operationItems(fields: Fields): StoredItem[] {
  while (fields.next()) {
    if (fields.field === 1) return rangeOf(fields.message(), 2).items;
    if (fields.field === 3) return rangeOf(fields.message(), 3).items;
  }
  return [];
}

function eventOf(fields: Fields): WatchedItem {
  let deleted = false;
  let item: StoredItem | undefined;
  let previous: string | undefined;
  while (fields.next()) {
    if (fields.field === 1) deleted = fields.flag();
    else if (fields.field === 2) item = itemOf(fields.message());
    else if (fields.field === 3) previous = itemOf(fields.message()).value;
  }
  if (!item) throw new RangeError("a watch's event names no key");
  return { deleted, item, previous };
}

function itemOf(fields: Fields): StoredItem {
  let path = "";
  let value = "";
  let createdAt = 0;
  let writtenAt = 0;
  while (fields.next()) {
    if (fields.field === 1) path = fields.text();
    else if (fields.field === 2) createdAt = fields.integer();
    else if (fields.field === 3) writtenAt = fields.integer();
    else if (fields.field === 5) value = fields.text();
  }
  return { path, value, revision: String(writtenAt) as Revision, created: createdAt === writtenAt };
}

function headerRevision(fields: Fields): Revision {
  while (fields.next()) if (fields.field === 3) return String(fields.integer()) as Revision;
  return "0" as Revision;
}
