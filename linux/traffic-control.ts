/**
 * Queueing disciplines and redirects of one network namespace. As in rtnetlink.ts, every method is one synchronous exchange with
 * the kernel and throws a {@link NetlinkError}; deleting says whether there was something to delete.
 */

import { isNetlinkError } from "./errors.ts";
import type { NamespaceRef } from "./namespace.ts";
import { deleteIfThere } from "./netlink/requests.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";
import {
  Parent,
  type QueueingDiscipline,
  type Redirect,
  readDiscipline,
  readRedirect,
  type TokenBucket,
  writeAddIngress,
  writeAddRedirect,
  writeDeleteDiscipline,
  writeGetDisciplines,
  writeGetRedirects,
  writeReplaceTokenBucket,
} from "./netlink/traffic-control.ts";

export {
  Parent,
  type QueueingDiscipline,
  type Redirect,
  type TokenBucket,
} from "./netlink/traffic-control.ts";

export class TrafficControl {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** For the calling thread's namespace, or the one given (name, path or descriptor). */
  static open({ namespace }: { namespace?: NamespaceRef | undefined } = {}): TrafficControl {
    return new TrafficControl(NetlinkSocket.open({ protocol: Protocol.ROUTE, namespace }));
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Of all interfaces, those that the kernel put there by itself included. */
  listDisciplines(): QueueingDiscipline[] {
    return this.#socket.get("list queueing disciplines", writeGetDisciplines, readDiscipline);
  }

  /** Shapes what leaves by the interface, by a discipline with this handle (`1:` is 0x10000). */
  replaceTokenBucket(interfaceIndex: number, handle: number, bucket: TokenBucket): void {
    this.#socket.request(`shape link ${interfaceIndex}`, w =>
      writeReplaceTokenBucket(w, interfaceIndex, handle, bucket),
    );
  }

  /** Whether there was a discipline of somebody's at the root. */
  deleteRootDiscipline(interfaceIndex: number): boolean {
    return this.#delete(interfaceIndex, Parent.ROOT);
  }

  /** What comes in by the interface leaves by `target`, from where the kernel takes it as if it had come in just now (ifb). */
  addRedirect(interfaceIndex: number, target: number): void {
    this.#socket.request(`add ingress to link ${interfaceIndex}`, w => writeAddIngress(w, interfaceIndex));
    this.#socket.request(`redirect link ${interfaceIndex}`, w => writeAddRedirect(w, interfaceIndex, target));
  }

  listRedirects(interfaceIndex: number): Redirect[] {
    return this.#socket.get("list redirects", w => writeGetRedirects(w, interfaceIndex), readRedirect);
  }

  /** Whether there was an ingress discipline; its filters go with it. */
  deleteIngress(interfaceIndex: number): boolean {
    return this.#delete(interfaceIndex, Parent.INGRESS);
  }

  #delete(interfaceIndex: number, parent: number): boolean {
    const operation = `delete discipline of link ${interfaceIndex}`;
    try {
      return deleteIfThere(this.#socket, operation, w =>
        writeDeleteDiscipline(w, { interfaceIndex, parent }),
      );
    } catch (error) {
      // What the kernel says where there is none that could be deleted.
      if (isNetlinkError(error, "EINVAL")) return false;
      throw error;
    }
  }
}
