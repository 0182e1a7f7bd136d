/**
 * Capabilities (RFC 5492) as they stand in an OPEN. What is not known is kept with its bytes, so that a snapshot of
 * a neighbor shows everything it said.
 */

import { readUint16, readUint32 } from "../address.ts";
import { MessageError } from "../errors.ts";
import { CapabilityCode, NotificationCode, OpenError } from "./constants.ts";
import type { Writer } from "./writer.ts";

export interface GracefulRestartFamily {
  readonly afi: number;
  readonly safi: number;
  /** The F bit: forwarding state was preserved. */
  readonly forwardingPreserved: boolean;
}

export type Capability =
  | { readonly kind: "multiprotocol"; readonly afi: number; readonly safi: number }
  | { readonly kind: "route-refresh" }
  | { readonly kind: "four-octet-as"; readonly asn: number }
  | {
      readonly kind: "graceful-restart";
      /** The R bit: the sender has just restarted. */
      readonly restarting: boolean;
      /** The N bit of RFC 8538. */
      readonly notification: boolean;
      /** Seconds, at most 4095. */
      readonly restartTime: number;
      readonly families: readonly GracefulRestartFamily[];
    }
  | { readonly kind: "unknown"; readonly code: number; readonly value: Uint8Array };

const RESTART_STATE = 0x8000;
const GRACEFUL_NOTIFICATION = 0x4000;
const FORWARDING_STATE = 0x80;

export function encodeCapability(writer: Writer, capability: Capability): void {
  switch (capability.kind) {
    case "multiprotocol":
      writer.u8(CapabilityCode.multiprotocol).u8(4).u16(capability.afi).u8(0).u8(capability.safi);
      return;
    case "route-refresh":
      writer.u8(CapabilityCode.routeRefresh).u8(0);
      return;
    case "four-octet-as":
      writer.u8(CapabilityCode.fourOctetAs).u8(4).u32(capability.asn);
      return;
    case "graceful-restart": {
      writer.u8(CapabilityCode.gracefulRestart).u8(2 + 4 * capability.families.length);
      const flags =
        (capability.restarting ? RESTART_STATE : 0) | (capability.notification ? GRACEFUL_NOTIFICATION : 0);
      writer.u16(flags | (capability.restartTime & 0x0fff));
      for (const { afi, safi, forwardingPreserved } of capability.families) {
        writer
          .u16(afi)
          .u8(safi)
          .u8(forwardingPreserved ? FORWARDING_STATE : 0);
      }
      return;
    }
    case "unknown":
      writer.u8(capability.code).u8(capability.value.length).bytes(capability.value);
  }
}

/** All capabilities in the value of one optional parameter. Throws {@link MessageError} where lengths do not fit. */
export function decodeCapabilities(bytes: Uint8Array): Capability[] {
  const capabilities: Capability[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const length = bytes[offset + 1];
    if (length === undefined || offset + 2 + length > bytes.length) {
      throw new MessageError(
        NotificationCode.open,
        OpenError.unspecific,
        "capability runs out of its parameter",
      );
    }
    capabilities.push(decodeCapability(bytes[offset]!, bytes.subarray(offset + 2, offset + 2 + length)));
    offset += 2 + length;
  }
  return capabilities;
}

function decodeCapability(code: number, value: Uint8Array): Capability {
  if (code === CapabilityCode.multiprotocol && value.length === 4) {
    return { kind: "multiprotocol", afi: readUint16(value, 0), safi: value[3]! };
  }
  if (code === CapabilityCode.routeRefresh && value.length === 0) return { kind: "route-refresh" };
  if (code === CapabilityCode.fourOctetAs && value.length === 4) {
    return { kind: "four-octet-as", asn: readUint32(value, 0) };
  }
  if (code === CapabilityCode.gracefulRestart && value.length % 4 === 2) {
    const flags = readUint16(value, 0);
    const families: GracefulRestartFamily[] = [];
    for (let offset = 2; offset < value.length; offset += 4) {
      families.push({
        afi: readUint16(value, offset),
        safi: value[offset + 2]!,
        forwardingPreserved: (value[offset + 3]! & FORWARDING_STATE) !== 0,
      });
    }
    return {
      kind: "graceful-restart",
      restarting: (flags & RESTART_STATE) !== 0,
      notification: (flags & GRACEFUL_NOTIFICATION) !== 0,
      restartTime: flags & 0x0fff,
      families,
    };
  }
  // A known code with an impossible length is treated as a capability we do not have (RFC 5492 5: ignore).
  return { kind: "unknown", code, value: value.slice() };
}
