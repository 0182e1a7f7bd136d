/**
 * The generation of a namespace's nf_tables ruleset: the kernel counts every commit, whoever makes it, iptables-nft
 * included. Asking costs microseconds, so a program can notice within moments that somebody else changed rules, without
 * following every event of a busy host (linux/netfilter/nf_tables.h, NFT_MSG_GETGEN).
 */

import type { NamespaceRef } from "./namespace.ts";
import { AttributeReader, Flag, type Message } from "./netlink/message.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";

/** NFNL_SUBSYS_NFTABLES in the high byte. */
const NFT_MSG_NEWGEN = 0x0a0f;
const NFT_MSG_GETGEN = 0x0a10;
const NFTA_GEN_ID = 1;
/** struct nfgenmsg: family, version, resource id. */
const NFGENMSG_LENGTH = 4;

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
      writer => {
        writer.begin(NFT_MSG_GETGEN, Flag.REQUEST);
        writer.u32(0);
        writer.end();
      },
      readGeneration,
    );
    return generation;
  }
}

function readGeneration(message: Message): number | undefined {
  if (message.type !== NFT_MSG_NEWGEN) return undefined;
  const attributes = new AttributeReader(message.view, message.offset + NFGENMSG_LENGTH, message.end);
  while (attributes.next()) {
    if (attributes.type === NFTA_GEN_ID) return message.view.getUint32(attributes.offset, false);
  }
  return undefined;
}
