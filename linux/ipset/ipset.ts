/**
 * ipsets over nfnetlink. One element more or less takes 0.01 ms where a process takes 4 (test/bench/netfilter.ts).
 *
 * There are no transactions: each message stands for itself, and of a list of elements those before a bad one stay.
 * What has to change as a whole is made beside and swapped in. Adding what is there and deleting what is not is no
 * error, so that an outdated picture does no harm.
 */

import type { NamespaceRef } from "../namespace.ts";
import {
  AttributeReader,
  ControlType,
  Flag,
  HEADER_LENGTH,
  type Message,
  MessageWriter,
  readAcknowledgement,
} from "../netlink/message.ts";
import { NetlinkSocket, Protocol } from "../netlink/socket.ts";
import {
  Attribute,
  Command,
  EntryAttribute,
  FAMILIES,
  FLAG_LIST_HEADER,
  HeaderAttribute,
  IPSET_PROTOCOL,
  NET_BYTEORDER,
} from "./constants.ts";
import { type ElementType, elementType, readEntry, writeEntry } from "./entry.ts";
import { IpsetError } from "./errors.ts";

export type SetFamily = 4 | 6;

export interface SetDefinition {
  /** At most 31 bytes. */
  readonly name: string;
  /** `hash:net`, `hash:ip,port`… */
  readonly type: string;
  /** Of its addresses. */
  readonly family: SetFamily;
  readonly maxElements: number;
}

/** What a set says of itself; cheap, however large it is. */
export interface SetHeader extends SetDefinition {
  readonly elements: number;
  /** By rules and other sets. */
  readonly references: number;
  /** In bytes. */
  readonly memory: number;
}

/** struct nfgenmsg. */
const NFGENMSG_LENGTH = 4;
/** A list is one attribute, and an attribute's length has 16 bits. */
const MAX_LIST_BYTES = 60_000;
const ETIMEDOUT = 110;

export class Ipset {
  readonly #socket: NetlinkSocket;
  readonly #writer = new MessageWriter();
  /** By type and family: the newest that the kernel knows. */
  readonly #revisions = new Map<string, number>();

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  static open(options: { namespace?: NamespaceRef | undefined } = {}): Ipset {
    const { namespace } = options;
    // Errors come with the request, into which the kernel has written which element it was.
    const socket = NetlinkSocket.open({
      protocol: Protocol.NETFILTER,
      namespace,
      capAcknowledgements: false,
    });
    return new Ipset(socket);
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** No error where it is there with the same type and parameters. @throws IpsetError */
  create({ name, type, family, maxElements }: SetDefinition): void {
    const revision = this.#revision(type, family);
    this.#request(`create set ${name} of type ${type}`, Command.CREATE, Flag.CREATE, writer => {
      writer.attributeString(Attribute.SETNAME, name);
      writer.attributeString(Attribute.TYPENAME, type);
      writer.attributeU8(Attribute.REVISION, revision);
      writer.attributeU8(Attribute.FAMILY, FAMILIES[family]);
      const data = writer.nest(Attribute.DATA);
      writer.attributeU32BigEndian(HeaderAttribute.MAXELEM | NET_BYTEORDER, maxElements);
      writer.endNest(data);
    });
  }

  /** @throws IpsetError ENOENT where there is none, IPSET_ERR_BUSY while a rule uses it */
  destroy(name: string): void {
    this.#request(`destroy set ${name}`, Command.DESTROY, 0, writer => {
      writer.attributeString(Attribute.SETNAME, name);
    });
  }

  /** Deletes all elements. */
  flush(name: string): void {
    this.#request(`flush set ${name}`, Command.FLUSH, 0, writer => {
      writer.attributeString(Attribute.SETNAME, name);
    });
  }

  /** The two, of one type, change their names: whoever used one uses the other's elements from now on. */
  swap(name: string, other: string): void {
    this.#request(`swap sets ${name} and ${other}`, Command.SWAP, 0, writer => {
      writer.attributeString(Attribute.SETNAME, name);
      writer.attributeString(Attribute.SETNAME2, other);
    });
  }

  /** @throws IpsetError with the index of the element that was refused; those before it are added */
  add(name: string, type: string, elements: readonly string[]): void {
    this.#change("add", Command.ADD, name, type, elements);
  }

  /** @throws IpsetError with the index of the element that was refused; those before it are deleted */
  delete(name: string, type: string, elements: readonly string[]): void {
    this.#change("delete", Command.DEL, name, type, elements);
  }

  /** Of all sets, in no order. */
  headers(): SetHeader[] {
    return this.#list("list sets", readHeader, writer =>
      writer.attributeU32BigEndian(Attribute.FLAGS | NET_BYTEORDER, FLAG_LIST_HEADER),
    );
  }

  /** @throws IpsetError ENOENT where there is no such set, RangeError where it is of a type that we do not know */
  elements(name: string, type: string): string[] {
    const of = elementType(type);
    const portions = this.#list(
      `list set ${name}`,
      message => readEntries(message, of),
      writer => writer.attributeString(Attribute.SETNAME, name),
    );
    return portions.flat();
  }

  #revision(type: string, family: SetFamily): number {
    const key = `${type}/${family}`;
    let revision = this.#revisions.get(key);
    if (revision === undefined) {
      revision = this.#askRevision(type, family);
      this.#revisions.set(key, revision);
    }
    return revision;
  }

  #askRevision(type: string, family: SetFamily): number {
    const operation = `ask for set type ${type}`;
    let revision: number | undefined;
    this.#exchange(
      operation,
      writer => {
        begin(writer, Command.TYPE, 0);
        writer.attributeString(Attribute.TYPENAME, type);
        writer.attributeU8(Attribute.FAMILY, FAMILIES[family]);
        writer.end();
      },
      message => {
        if (message.type !== Command.TYPE) return;
        const attributes = attributesOf(message);
        while (attributes.next()) if (attributes.type === Attribute.REVISION) revision = attributes.u8();
      },
    );
    if (revision === undefined) throw new IpsetError(ETIMEDOUT, operation);
    return revision;
  }

  #change(
    verb: "add" | "delete",
    command: number,
    name: string,
    type: string,
    elements: readonly string[],
  ): void {
    const of = elementType(type);
    for (let next = 0; next < elements.length; ) {
      const first = next;
      const operation = (at: number) =>
        `${verb} ${elements[at] ?? "elements"} ${verb === "add" ? "to" : "from"} set ${name}`;
      this.#exchange(
        operation(first),
        writer => {
          begin(writer, command, Flag.ACK);
          writer.attributeString(Attribute.SETNAME, name);
          writer.attributeU32(Attribute.LINENO, 0); // The kernel writes the bad element's number here.
          const list = writer.nest(Attribute.ADT);
          const start = writer.length;
          for (; next < elements.length && writer.length - start < MAX_LIST_BYTES; next++) {
            const entry = writer.nest(Attribute.DATA);
            writeEntry(writer, of, elements[next] as string);
            writer.attributeU32BigEndian(EntryAttribute.LINENO | NET_BYTEORDER, next - first + 1);
            writer.endNest(entry);
          }
          writer.endNest(list);
          writer.end();
        },
        () => {},
        (errno, line) => {
          const index = line === undefined || line === 0 ? undefined : first + line - 1;
          return new IpsetError(errno, operation(index ?? first), index);
        },
      );
    }
  }

  #request(
    operation: string,
    command: number,
    flags: number,
    attributes: (writer: MessageWriter) => void,
  ): void {
    this.#exchange(
      operation,
      writer => {
        begin(writer, command, flags | Flag.ACK);
        attributes(writer);
        writer.end();
      },
      () => {},
    );
  }

  #exchange(
    operation: string,
    write: (writer: MessageWriter) => void,
    onAnswer: (message: Message) => void,
    toError = (errno: number, _line: number | undefined) => new IpsetError(errno, operation),
  ): void {
    const writer = this.#writer;
    writer.reset();
    write(writer);
    let failure: IpsetError | undefined;
    this.#socket.exchange(operation, writer.bytes, message => {
      if (message.type !== ControlType.ERROR) return onAnswer(message);
      const { errno } = readAcknowledgement(message);
      if (errno !== 0) failure = toError(errno, echoedLine(message));
    });
    if (failure) throw failure;
  }

  #list<T>(
    operation: string,
    read: (message: Message) => T | undefined,
    attributes: (writer: MessageWriter) => void,
  ): T[] {
    return this.#socket.get(
      operation,
      writer => {
        begin(writer, Command.LIST, Flag.DUMP);
        attributes(writer);
        writer.end();
      },
      read,
    );
  }
}

function begin(writer: MessageWriter, command: number, flags: number): void {
  writer.begin(command, Flag.REQUEST | flags);
  writer.u32(FAMILIES[4]); // struct nfgenmsg; which family does not matter.
  writer.attributeU8(Attribute.PROTOCOL, IPSET_PROTOCOL);
}

const attributesOf = (message: Message): AttributeReader =>
  new AttributeReader(message.view, message.offset + NFGENMSG_LENGTH, message.end);

/** The number in the request that the kernel sends back with an error. */
function echoedLine(message: Message): number | undefined {
  const request = message.offset + 4; // The errno.
  const attributes = new AttributeReader(
    message.view,
    request + HEADER_LENGTH + NFGENMSG_LENGTH,
    message.end,
  );
  while (attributes.next()) if (attributes.type === Attribute.LINENO) return attributes.u32BigEndian();
  return undefined;
}

function readHeader(message: Message): SetHeader | undefined {
  const header = { name: "", type: "", family: 4 as SetFamily, maxElements: 0 };
  const counts = { elements: 0, references: 0, memory: 0 };
  let found = false;
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type === Attribute.SETNAME) header.name = attributes.string();
    else if (attributes.type === Attribute.TYPENAME) header.type = attributes.string();
    else if (attributes.type === Attribute.FAMILY) {
      header.family = attributes.u8() === FAMILIES[6] ? 6 : 4;
    } else if (attributes.type === Attribute.DATA) {
      found = true;
      const data = attributes.nested();
      while (data.next()) {
        if (data.type === HeaderAttribute.MAXELEM) header.maxElements = data.u32BigEndian();
        else if (data.type === HeaderAttribute.ELEMENTS) counts.elements = data.u32BigEndian();
        else if (data.type === HeaderAttribute.REFERENCES) counts.references = data.u32BigEndian();
        else if (data.type === HeaderAttribute.MEMSIZE) counts.memory = data.u32BigEndian();
      }
    }
  }
  return found ? { ...header, ...counts } : undefined;
}

function readEntries(message: Message, type: ElementType): string[] {
  const elements: string[] = [];
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type !== Attribute.ADT) continue;
    const list = attributes.nested();
    while (list.next()) elements.push(readEntry(list.nested(), type));
  }
  return elements;
}
