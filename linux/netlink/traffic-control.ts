/**
 * Queueing disciplines and the one filter we need, as RTM_NEWQDISC and RTM_NEWTFILTER messages: linux/pkt_sched.h,
 * linux/pkt_cls.h, struct tcmsg.
 *
 * What leaves by an interface is shaped by a token bucket at its root. What comes in cannot be queued, so it is redirected to
 * an ifb device (a u32 filter that matches everything, with the action mirred), and shaped on its way out there.
 */

import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

/** All in bytes, rates in bytes per second: as the kernel has them. */
export interface TokenBucket {
  readonly rate: number;
  /** How much may go at once, however long nothing went. At least a packet, or nothing goes at all. */
  readonly burst: number;
  /** How much may wait; what comes beyond is dropped. */
  readonly limit: number;
  /** While there are tokens; must be more than `rate`. */
  readonly peakRate?: number;
  /** How much may go at the peak rate at once: at least a packet. */
  readonly peakBurst?: number;
}

export interface QueueingDiscipline {
  readonly interfaceIndex: number;
  readonly kind: string;
  /** 0 where the kernel put it there by itself. */
  readonly handle: number;
  readonly parent: number;
  /** Of kind `tbf`. The kernel does not say the bursts exactly, so they are left out. */
  readonly tokenBucket?: Pick<TokenBucket, "rate" | "limit" | "peakRate">;
}

/** A filter that takes what comes in by one interface to another. */
export interface Redirect {
  readonly interfaceIndex: number;
  readonly priority: number;
  readonly kind: string;
  /** Undefined where its action is another. */
  readonly target: number | undefined;
}

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
export const TrafficControlMessageType = {
  NEW_QDISC: RTM_NEWQDISC,
  DELETE_QDISC: RTM_DELQDISC,
  NEW_FILTER: RTM_NEWTFILTER,
  DELETE_FILTER: RTM_DELTFILTER,
} as const;

/** TC_H_*: where a discipline is attached. */
export const Parent = { ROOT: 0xffffffff, INGRESS: 0xfffffff1 } as const;
/** `ffff:`, of every ingress discipline, to which filters are attached. */
const INGRESS_HANDLE = 0xffff0000;

const Attribute = { KIND: 1, OPTIONS: 2 } as const;
const TokenBucketAttribute = { PARMS: 1, RATE64: 4, PRATE64: 5, BURST: 6, PBURST: 7 } as const;
const U32Attribute = { SEL: 5, ACT: 7 } as const;
const ActionAttribute = { KIND: 1, OPTIONS: 2 } as const;
const MIRRED_PARMS = 2;

/** Lengths are those of Ethernet frames; with this the kernel computes the time of each by itself, without a table of ours. */
const TC_LINKLAYER_ETHERNET = 1;
const TC_U32_TERMINAL = 1;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const ETH_P_ALL = 3;
const MAX_U32 = 0xffffffff;
/** Of our filter: the first to be asked. */
const PRIORITY = 1;

export function writeGetDisciplines(writer: MessageWriter): void {
  writer.begin(RTM_GETQDISC, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, { interfaceIndex: 0 });
  writer.end();
}

/**
 * At the root. One that is there under this handle (`1:` is 0x10000) is changed, and what waits in it stays; one under another
 * handle is replaced.
 */
export function writeReplaceTokenBucket(
  writer: MessageWriter,
  interfaceIndex: number,
  handle: number,
  bucket: TokenBucket,
): void {
  writer.begin(RTM_NEWQDISC, Flag.REQUEST | Flag.CREATE | Flag.REPLACE);
  writeHeader(writer, { interfaceIndex, handle, parent: Parent.ROOT });
  writer.attributeString(Attribute.KIND, "tbf");
  const options = writer.nest(Attribute.OPTIONS);
  const parameters = new Uint8Array(36); // struct tc_tbf_qopt
  const view = new DataView(parameters.buffer);
  writeRate(view, 0, bucket.rate);
  if (bucket.peakRate) writeRate(view, 12, bucket.peakRate);
  view.setUint32(24, bucket.limit, true);
  writer.attribute(TokenBucketAttribute.PARMS, parameters);
  if (bucket.rate > MAX_U32) writer.attribute(TokenBucketAttribute.RATE64, u64(bucket.rate));
  if (bucket.peakRate && bucket.peakRate > MAX_U32)
    writer.attribute(TokenBucketAttribute.PRATE64, u64(bucket.peakRate));
  writer.attributeU32(TokenBucketAttribute.BURST, bucket.burst);
  if (bucket.peakBurst) writer.attributeU32(TokenBucketAttribute.PBURST, bucket.peakBurst);
  writer.endNest(options);
  writer.end();
}

/** Where filters on what comes in are attached. EEXIST where it is there. */
export function writeAddIngress(writer: MessageWriter, interfaceIndex: number): void {
  writer.begin(RTM_NEWQDISC, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writeHeader(writer, { interfaceIndex, handle: INGRESS_HANDLE, parent: Parent.INGRESS });
  writer.attributeString(Attribute.KIND, "ingress");
  writer.end();
}

/** The one at this place, and with it what is attached to it. */
export function writeDeleteDiscipline(
  writer: MessageWriter,
  { interfaceIndex, parent }: { readonly interfaceIndex: number; readonly parent: number },
): void {
  writer.begin(RTM_DELQDISC, Flag.REQUEST);
  writeHeader(writer, { interfaceIndex, parent });
  writer.end();
}

/** Needs {@link writeAddIngress} first. */
export function writeAddRedirect(writer: MessageWriter, interfaceIndex: number, target: number): void {
  writer.begin(RTM_NEWTFILTER, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writeHeader(writer, {
    interfaceIndex,
    parent: INGRESS_HANDLE,
    info: (PRIORITY << 16) | bigEndian16(ETH_P_ALL),
  });
  writer.attributeString(Attribute.KIND, "u32");
  const options = writer.nest(Attribute.OPTIONS);
  const selector = new Uint8Array(16 + 16); // struct tc_u32_sel with one key, all zero: every packet matches
  selector[0] = TC_U32_TERMINAL;
  selector[2] = 1;
  writer.attribute(U32Attribute.SEL, selector);
  const actions = writer.nest(U32Attribute.ACT);
  const first = writer.nest(1);
  writer.attributeString(ActionAttribute.KIND, "mirred");
  const action = writer.nest(ActionAttribute.OPTIONS);
  const parameters = new Uint8Array(28); // struct tc_mirred
  const view = new DataView(parameters.buffer);
  view.setInt32(8, TC_ACT_STOLEN, true);
  view.setInt32(20, TCA_EGRESS_REDIR, true);
  view.setUint32(24, target, true);
  writer.attribute(MIRRED_PARMS, parameters);
  for (const nest of [action, first, actions, options]) writer.endNest(nest);
  writer.end();
}

/** Those on what comes in by one interface. */
export function writeGetRedirects(writer: MessageWriter, interfaceIndex: number): void {
  writer.begin(RTM_GETTFILTER, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, { interfaceIndex, parent: INGRESS_HANDLE });
  writer.end();
}

export function readDiscipline(message: Message): QueueingDiscipline | undefined {
  if (message.type !== RTM_NEWQDISC && message.type !== RTM_DELQDISC) return undefined;
  const header = readHeader(message);
  if (!header) return undefined;
  const { interfaceIndex, handle, parent, attributes } = header;
  let kind = "";
  let tokenBucket: QueueingDiscipline["tokenBucket"];
  while (attributes.next()) {
    if (attributes.type === Attribute.KIND) kind = attributes.string();
    else if (attributes.type === Attribute.OPTIONS && kind === "tbf")
      tokenBucket = readTokenBucket(attributes.nested());
  }
  return { interfaceIndex, kind, handle, parent, ...(tokenBucket && { tokenBucket }) };
}

/** Undefined for what is no filter of its own: u32 lists its hash tables too. */
export function readRedirect(message: Message): Redirect | undefined {
  if (message.type !== RTM_NEWTFILTER && message.type !== RTM_DELTFILTER) return undefined;
  const header = readHeader(message);
  if (!header || header.handle === 0) return undefined;
  const { interfaceIndex, info, attributes } = header;
  let kind = "";
  let target: number | undefined;
  let isFilter = false;
  while (attributes.next()) {
    if (attributes.type === Attribute.KIND) kind = attributes.string();
    else if (attributes.type === Attribute.OPTIONS) {
      const options = attributes.nested();
      while (options.next()) {
        if (options.type === U32Attribute.SEL) isFilter = true;
        if (options.type === U32Attribute.ACT) target = readTarget(options.nested());
      }
    }
  }
  return kind === "u32" && !isFilter ? undefined : { interfaceIndex, priority: info >>> 16, kind, target };
}

function readTokenBucket(options: AttributeReader): QueueingDiscipline["tokenBucket"] {
  let rate = 0;
  let peakRate = 0;
  let limit = 0;
  while (options.next()) {
    const view = dataView(options);
    if (options.type === TokenBucketAttribute.PARMS && options.length >= 36) {
      rate ||= view.getUint32(8, true);
      peakRate ||= view.getUint32(20, true);
      limit = view.getUint32(24, true);
    } else if (options.type === TokenBucketAttribute.RATE64) rate = Number(view.getBigUint64(0, true));
    else if (options.type === TokenBucketAttribute.PRATE64) peakRate = Number(view.getBigUint64(0, true));
  }
  return { rate, limit, ...(peakRate > 0 && { peakRate }) };
}

/** Of the first action, if that is a redirect. */
function readTarget(actions: AttributeReader): number | undefined {
  if (!actions.next()) return undefined;
  const action = actions.nested();
  let kind = "";
  while (action.next()) {
    if (action.type === ActionAttribute.KIND) kind = action.string();
    else if (action.type === ActionAttribute.OPTIONS && kind === "mirred") {
      const options = action.nested();
      while (options.next()) {
        if (options.type !== MIRRED_PARMS || options.length < 28) continue;
        const view = dataView(options);
        return view.getInt32(20, true) === TCA_EGRESS_REDIR ? view.getUint32(24, true) : undefined;
      }
    }
  }
  return undefined;
}

/** struct tcmsg */
function writeHeader(
  writer: MessageWriter,
  {
    interfaceIndex,
    handle = 0,
    parent = 0,
    info = 0,
  }: {
    readonly interfaceIndex: number;
    readonly handle?: number;
    readonly parent?: number;
    readonly info?: number;
  },
): void {
  writer.u32(0);
  writer.u32(interfaceIndex);
  writer.u32(handle);
  writer.u32(parent);
  writer.u32(info);
}

function readHeader({ view, offset, end }: Message) {
  if (end - offset < 20) return undefined;
  return {
    interfaceIndex: view.getInt32(offset + 4, true),
    handle: view.getUint32(offset + 8, true),
    parent: view.getUint32(offset + 12, true),
    info: view.getUint32(offset + 16, true),
    attributes: new AttributeReader(view, offset + 20, end),
  };
}

/** struct tc_ratespec */
function writeRate(view: DataView, at: number, rate: number): void {
  view.setUint8(at + 1, TC_LINKLAYER_ETHERNET);
  view.setUint32(at + 8, Math.min(rate, MAX_U32), true);
}

function u64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

function bigEndian16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

function dataView(attribute: AttributeReader): DataView {
  const bytes = attribute.bytes();
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
