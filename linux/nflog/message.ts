/** nfnetlink_log's messages: binding to a group, and the packets that come (linux/netfilter/nfnetlink_log.h). */

import { AttributeReader, Flag, type Message, type MessageWriter } from "../netlink/message.ts";
import { type PacketSummary, summarize } from "./packet.ts";

/** NFNL_SUBSYS_ULOG in the high byte. */
const NFULNL_MSG_PACKET = 0x0400;
const NFULNL_MSG_CONFIG = 0x0401;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
/** Packets are numbered, so that one knows how many were lost. */
const NFULNL_CFG_F_SEQ = 1;

/** NFULA_CFG_* */
const Config = { CMD: 1, MODE: 2, NLBUFSIZ: 3, TIMEOUT: 4, QTHRESH: 5, FLAGS: 6 } as const;
/** NFULA_* */
const Attribute = { IFINDEX_INDEV: 4, IFINDEX_OUTDEV: 5, PAYLOAD: 9, PREFIX: 10, SEQ: 12 } as const;

const NFGENMSG_LENGTH = 4;

export interface GroupOptions {
  readonly group: number;
  /** Of each packet this many bytes. */
  readonly copyBytes: number;
  /** The kernel sends what it has when there are so many packets… */
  readonly threshold: number;
  /** …or the first of them has waited for so long, in hundredths of a second. */
  readonly timeoutCentiseconds: number;
  /** The kernel's room for them. */
  readonly bufferBytes: number;
}

export function writeBind(writer: MessageWriter, options: GroupOptions): void {
  writer.begin(NFULNL_MSG_CONFIG, Flag.REQUEST);
  writer.u16(0); // struct nfgenmsg: family and version
  writer.u16(swapped(options.group));
  writer.attributeU8(Config.CMD, NFULNL_CFG_CMD_BIND);
  // struct nfulnl_msg_config_mode: range, mode, a byte of padding.
  const mode = new DataView(new ArrayBuffer(6));
  mode.setUint32(0, options.copyBytes);
  mode.setUint8(4, NFULNL_COPY_PACKET);
  writer.attribute(Config.MODE, new Uint8Array(mode.buffer));
  writer.attributeU32BigEndian(Config.NLBUFSIZ, options.bufferBytes);
  writer.attributeU32BigEndian(Config.TIMEOUT, options.timeoutCentiseconds);
  writer.attributeU32BigEndian(Config.QTHRESH, options.threshold);
  writer.attributeU16BigEndian(Config.FLAGS, NFULNL_CFG_F_SEQ);
  writer.end();
}

export interface LoggedPacket {
  readonly group: number;
  /** What the rule says. */
  readonly prefix: string;
  /** Counted per group, from 0, modulo 2^32. */
  readonly sequence: number;
  /** Index of the interface it came in by, and is to leave by. */
  readonly inInterface?: number;
  readonly outInterface?: number;
  readonly packet: PacketSummary;
}

/** Undefined for what is no IP packet. */
export function readLoggedPacket(message: Message): LoggedPacket | undefined {
  if (message.type !== NFULNL_MSG_PACKET) return undefined;
  const group = message.view.getUint16(message.offset + 2, false);
  let prefix = "";
  let sequence = 0;
  let packet: PacketSummary | undefined;
  const interfaces: { inInterface?: number; outInterface?: number } = {};
  const attributes = new AttributeReader(message.view, message.offset + NFGENMSG_LENGTH, message.end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.PREFIX:
        prefix = attributes.string();
        break;
      case Attribute.SEQ:
        sequence = attributes.u32BigEndian();
        break;
      case Attribute.IFINDEX_INDEV:
        interfaces.inInterface = attributes.u32BigEndian();
        break;
      case Attribute.IFINDEX_OUTDEV:
        interfaces.outInterface = attributes.u32BigEndian();
        break;
      case Attribute.PAYLOAD:
        packet = summarize(attributes.bytes());
        break;
    }
  }
  return packet && { group, prefix, sequence, ...interfaces, packet };
}

/** A number in network order, for a writer that writes the host's. */
const swapped = (value: number): number => ((value & 0xff) << 8) | (value >> 8);
