/**
 * Whether anybody has changed the tables of iptables-legacy. The kernel tells nobody and counts nothing, so they are looked at: at how
 * many rules there are and where the hooks lead, a few bytes each time, and at the rules themselves, their counters left out, as
 * often as that costs no more than {@link BYTES_PER_LOOK} a look (linux/netfilter_ipv4/ip_tables.h, ip6_tables.h).
 *
 * Only tables that exist are asked for: to ask for another would make it, with hooks that every packet passes.
 */

import { hash } from "node:crypto";
import { closeSync, readFileSync } from "node:fs";
import { AddressFamily, getSocketOption, SocketType, SystemCallError, socket } from "./libc.ts";
import { inNamespace, type NamespaceRef } from "./namespace.ts";

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IPPROTO_RAW = 255;
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;
/** XT_TABLE_MAXNAMELEN. */
const NAME_LENGTH = 32;
/** struct ipt_getinfo: name, hooks, 5 entry points, 5 ends, number of entries, their bytes. */
const INFO_LENGTH = 84;
const INFO_SIZE = 80;
/** struct ipt_get_entries: name, bytes, then the entries, aligned to 8. */
const ENTRIES_OFFSET = 40;
/** struct xt_counters: packets and bytes. */
const COUNTERS_LENGTH = 16;

/** A megabyte is some 3,000 rules and takes about two milliseconds. */
const BYTES_PER_LOOK = 1 << 18;

interface Layout {
  readonly family: number;
  readonly level: number;
  /** Lists the tables there are. */
  readonly names: string;
  /** In struct ipt_entry and ip6t_entry. */
  readonly nextOffset: number;
  readonly counters: number;
}

const LAYOUTS: readonly Layout[] = [
  {
    family: AddressFamily.INET,
    level: IPPROTO_IP,
    names: "/proc/thread-self/net/ip_tables_names",
    nextOffset: 90,
    counters: 96,
  },
  {
    family: AddressFamily.INET6,
    level: IPPROTO_IPV6,
    names: "/proc/thread-self/net/ip6_tables_names",
    nextOffset: 142,
    counters: 152,
  },
];

interface OpenSocket {
  readonly layout: Layout;
  readonly fd: number;
}

interface Seen {
  info: string;
  entries: string;
  /** Looks until the entries are read again. */
  wait: number;
}

export class XtablesGeneration {
  readonly #namespace: NamespaceRef | undefined;
  readonly #sockets: readonly OpenSocket[];
  #seen = new Map<string, Seen>();
  #generation = 0;

  private constructor(namespace: NamespaceRef | undefined, sockets: readonly OpenSocket[]) {
    this.#namespace = namespace;
    this.#sockets = sockets;
  }

  /** @throws SystemCallError without the permission for raw sockets */
  static open({ namespace }: { readonly namespace?: NamespaceRef | undefined } = {}): XtablesGeneration {
    const open = () =>
      LAYOUTS.flatMap(layout => {
        try {
          return [{ layout, fd: socket(layout.family, SocketType.RAW, IPPROTO_RAW) }];
        } catch (error) {
          // A kernel booted without IPv6.
          if (error instanceof SystemCallError && error.code === "EAFNOSUPPORT") return [];
          throw error;
        }
      });
    const sockets = namespace === undefined ? open() : inNamespace(namespace, open);
    return new XtablesGeneration(namespace, sockets);
  }

  close(): void {
    for (const { fd } of this.#sockets) closeSync(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Different from the last call's where rules are. Tables that come and go count as changes. @throws SystemCallError */
  read(): number {
    const now = new Map<string, Seen>();
    let changed = false;
    for (const { layout, fd } of this.#sockets) {
      for (const table of this.#tables(layout)) {
        const key = `${layout.level}/${table}`;
        const before = this.#seen.get(key);
        const seen = look(layout, fd, table, before);
        if (!seen) continue;
        changed ||= before?.info !== seen.info || before.entries !== seen.entries;
        now.set(key, seen);
      }
    }
    changed ||= now.size !== this.#seen.size;
    this.#seen = now;
    if (changed) this.#generation++;
    return this.#generation;
  }

  #tables({ names }: Layout): string[] {
    const read = () => readFileSync(names, "latin1");
    try {
      const text = this.#namespace === undefined ? read() : inNamespace(this.#namespace, read);
      return text.split("\n").filter(name => name !== "");
    } catch {
      // No such file: no such tables.
      return [];
    }
  }
}

/** Undefined: the table has changed between two questions, or is gone; the next look tells more. */
function look(layout: Layout, fd: number, table: string, before: Seen | undefined): Seen | undefined {
  const info = new Uint8Array(INFO_LENGTH);
  info.set(new TextEncoder().encode(table).subarray(0, NAME_LENGTH - 1));
  try {
    getSocketOption(fd, layout.level, SO_GET_INFO, info);
    const size = new DataView(info.buffer).getUint32(INFO_SIZE, true);
    const text = Buffer.from(info).toString("latin1");
    if (before?.info === text && before.wait > 0) return { ...before, wait: before.wait - 1 };
    const wait = Math.ceil(size / BYTES_PER_LOOK) - 1;
    return { info: text, entries: readEntries(layout, fd, info.subarray(0, NAME_LENGTH), size), wait };
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
}

/** A hash over all that rules say, without what they count. */
function readEntries(
  { level, nextOffset, counters }: Layout,
  fd: number,
  name: Uint8Array,
  size: number,
): string {
  const bytes = new Uint8Array(ENTRIES_OFFSET + size);
  const view = new DataView(bytes.buffer);
  bytes.set(name);
  view.setUint32(NAME_LENGTH, size, true);
  getSocketOption(fd, level, SO_GET_ENTRIES, bytes);
  for (let at = ENTRIES_OFFSET; at + counters + COUNTERS_LENGTH <= bytes.length; ) {
    bytes.fill(0, at + counters, at + counters + COUNTERS_LENGTH);
    const length = view.getUint16(at + nextOffset, true);
    if (length === 0) break;
    at += length;
  }
  return hash("sha1", bytes);
}
