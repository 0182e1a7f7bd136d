/**
 * OPEN (RFC 4271 4.2). Only its form is judged here; whether AS, identifier and hold time suit the session is decided
 * by session/negotiation.ts. Optional parameters of more than 255 bytes take the form of RFC 9072, in both directions.
 */

import { formatRouterId, parseRouterId, readUint16, readUint32 } from "../address.ts";
import { MessageError } from "../errors.ts";
import { type Capability, decodeCapabilities, encodeCapability } from "./capabilities.ts";
import { AS_TRANS, BGP_VERSION, NotificationCode, OpenError } from "./constants.ts";
import { Writer } from "./writer.ts";

export interface OpenMessage {
  /** The real AS number: from the 4-byte AS capability where there is one. */
  readonly asn: number;
  /** Seconds. */
  readonly holdTime: number;
  /** Dotted quad. */
  readonly routerId: string;
  readonly capabilities: readonly Capability[];
}

const CAPABILITIES_PARAMETER = 2;
const EXTENDED_PARAMETERS = 255;

/** The message body, without header. */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const writer = new Writer(256);
  writer
    .u8(BGP_VERSION)
    .u16(open.asn > 0xffff ? AS_TRANS : open.asn)
    .u16(open.holdTime)
    .u32(parseRouterId(open.routerId) ?? 0);
  const capabilities = open.capabilities.map(encodeAlone);
  // One parameter per capability: the oldest habit, which every implementation reads.
  const length = capabilities.reduce((sum, bytes) => sum + 2 + bytes.length, 0);
  // RFC 9072 2: the old form as long as it suffices.
  const extended = length > 255;
  if (extended) {
    writer
      .u8(EXTENDED_PARAMETERS)
      .u8(EXTENDED_PARAMETERS)
      .u16(length + capabilities.length);
  } else writer.u8(length);
  for (const bytes of capabilities) {
    writer.u8(CAPABILITIES_PARAMETER);
    if (extended) writer.u16(bytes.length);
    else writer.u8(bytes.length);
    writer.bytes(bytes);
  }
  return writer.copy();
}

function encodeAlone(capability: Capability): Uint8Array {
  const writer = new Writer(64);
  encodeCapability(writer, capability);
  return writer.copy();
}

export function decodeOpen(body: Uint8Array): OpenMessage {
  if (body.length < 10) throw openError(OpenError.unspecific, "OPEN is shorter than 29 bytes");
  if (body[0] !== BGP_VERSION) {
    throw new MessageError(
      NotificationCode.open,
      OpenError.unsupportedVersion,
      `version ${body[0]}`,
      Uint8Array.of(0, BGP_VERSION),
    );
  }
  const capabilities: Capability[] = [];
  for (const { type, value } of optionalParameters(body)) {
    if (type !== CAPABILITIES_PARAMETER) {
      throw openError(OpenError.unsupportedParameter, `optional parameter ${type}`);
    }
    capabilities.push(...decodeCapabilities(value));
  }
  const fourOctet = capabilities.find(capability => capability.kind === "four-octet-as");
  return {
    asn: fourOctet?.asn ?? readUint16(body, 1),
    holdTime: readUint16(body, 3),
    routerId: formatRouterId(readUint32(body, 5)),
    capabilities,
  };
}

function* optionalParameters(body: Uint8Array): Generator<{ type: number; value: Uint8Array }> {
  // RFC 9072: a non-zero length and the parameter type 255 announce a 2-byte total and 2-byte lengths.
  const extended = body[9] !== 0 && body[10] === EXTENDED_PARAMETERS;
  if (extended && body.length < 13) throw openError(OpenError.unspecific, "extended parameters are cut off");
  const total = extended ? readUint16(body, 11) : body[9]!;
  const headerSize = extended ? 3 : 2;
  let offset = extended ? 13 : 10;
  if (offset + total !== body.length) {
    throw openError(OpenError.unspecific, `optional parameters of ${total} bytes do not fit the OPEN`);
  }
  while (offset < body.length) {
    if (offset + headerSize > body.length)
      throw openError(OpenError.unspecific, "optional parameter is cut off");
    const length = extended ? readUint16(body, offset + 1) : body[offset + 1]!;
    const start = offset + headerSize;
    if (start + length > body.length) throw openError(OpenError.unspecific, "optional parameter is cut off");
    yield { type: body[offset]!, value: body.subarray(start, start + length) };
    offset = start + length;
  }
}

function openError(subcode: number, text: string): MessageError {
  return new MessageError(NotificationCode.open, subcode, text);
}
