/**
 * OPEN (RFC 4271 4.2). Only its form is judged here; whether AS, identifier and hold time suit the session is decided
 * by session/negotiation.ts. Optional parameters longer than 255 bytes (RFC 9072) are understood; we never need to
 * send them.
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
    .u32(parseRouterId(open.routerId) ?? 0)
    .u8(0);
  const parametersAt = writer.length;
  // One parameter per capability: the oldest habit, which every implementation reads.
  for (const capability of open.capabilities) {
    writer.u8(CAPABILITIES_PARAMETER).u8(0);
    const start = writer.length;
    encodeCapability(writer, capability);
    writer.patch8(start - 1, writer.length - start);
  }
  const length = writer.length - parametersAt;
  if (length > 254) throw new RangeError(`capabilities take ${length} bytes, 254 fit in an OPEN`);
  writer.patch8(parametersAt - 1, length);
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
