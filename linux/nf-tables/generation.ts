/**
 * The generation of a namespace's nf_tables ruleset: the kernel counts every commit, whoever makes it, iptables-nft
 * included. Asking costs microseconds, so a program can notice within moments that somebody else changed rules, without
 * following every event of a busy host (linux/netfilter/nf_tables.h, NFT_MSG_GETGEN).
 */

import type { NamespaceRef } from "../namespace.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "../netlink/message.ts";
import { NetlinkSocket, Protocol } from "../netlink/socket.ts";
import { MessageType, NFGENMSG_LENGTH } from "./constants.ts";

const NFTA_GEN_ID = 1;

export class RulesetGeneration {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  static open(options: { namespace?: NamespaceRef | undefined } = {}): RulesetGeneration {
    return new RulesetGeneration(
      NetlinkSocket.open({ protocol: Protocol.NETFILTER, namespace: options.namespace }),
    );
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Equal to what it was exactly where nothing was committed since. @throws NetlinkError where the kernel has no nf_tables */
  read(): number {
    const [generation = 0] = this.#socket.get(
      "read the ruleset's generation",
      writeGetGeneration,
      readGeneration,
    );
    return generation;
  }
}

export function writeGetGeneration(writer: MessageWriter): void {
  writer.begin(MessageType.GETGEN, Flag.REQUEST);
  writer.u32(0); // struct nfgenmsg
  writer.end();
}

export function readGeneration(message: Message): number | undefined {
  if (message.type !== MessageType.NEWGEN) return undefined;
  const attributes = new AttributeReader(message.view, message.offset + NFGENMSG_LENGTH, message.end);
  while (attributes.next()) if (attributes.type === NFTA_GEN_ID) return attributes.u32BigEndian();
  return undefined;
}
