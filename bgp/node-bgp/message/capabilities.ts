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

/** One family of the add-path capability, from the sender's point of view. */
export interface AddPathFamily {
  readonly afi: number;
  readonly safi: number;
  readonly send: boolean;
  readonly receive: boolean;
}

export interface LongLivedFamily {
  readonly afi: number;
  readonly safi: number;
  /** The F bit, as in graceful restart. */
  readonly forwardingPreserved: boolean;
  /** How long stale routes may be kept after the restart time: seconds, 24 bits. */
  readonly staleTime: number;
}

/** Routes of this family may have next hops of `nextHopAfi`. */
export interface ExtendedNextHopFamily {
  readonly afi: number;
  readonly safi: number;
  readonly nextHopAfi: number;
}

export type Capability =
  | { readonly kind: "multiprotocol"; readonly afi: number; readonly safi: number }
  | { readonly kind: "route-refresh" }
  /** RFC 8950. */
  | { readonly kind: "extended-next-hop"; readonly families: readonly ExtendedNextHopFamily[] }
  /** RFC 8654. */
  | { readonly kind: "extended-message" }
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
  /** RFC 7911. */
  | { readonly kind: "add-path"; readonly families: readonly AddPathFamily[] }
  /** RFC 7313. */
  | { readonly kind: "enhanced-route-refresh" }
  /** RFC 9494. */
  | { readonly kind: "long-lived-graceful-restart"; readonly families: readonly LongLivedFamily[] }
  /** `value` is hexadecimal. */
  | { readonly kind: "unknown"; readonly code: number; readonly value: string };

const RESTART_STATE = 0x8000;
const GRACEFUL_NOTIFICATION = 0x4000;
const FORWARDING_STATE = 0x80;
const ADD_PATH_RECEIVE = 1;
const ADD_PATH_SEND = 2;

export function encodeCapability(writer: Writer, capability: Capability): void {
  switch (capability.kind) {
    case "multiprotocol":
      writer.u8(CapabilityCode.multiprotocol).u8(4).u16(capability.afi).u8(0).u8(capability.safi);
      return;
    case "route-refresh":
      writer.u8(CapabilityCode.routeRefresh).u8(0);
      return;
    case "extended-next-hop":
      writer.u8(CapabilityCode.extendedNextHop).u8(6 * capability.families.length);
      for (const { afi, safi, nextHopAfi } of capability.families) writer.u16(afi).u16(safi).u16(nextHopAfi);
      return;
    case "extended-message":
      writer.u8(CapabilityCode.extendedMessage).u8(0);
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
    case "add-path":
      writer.u8(CapabilityCode.addPath).u8(4 * capability.families.length);
      for (const { afi, safi, send, receive } of capability.families) {
        writer
          .u16(afi)
          .u8(safi)
          .u8((send ? ADD_PATH_SEND : 0) | (receive ? ADD_PATH_RECEIVE : 0));
      }
      return;
    case "enhanced-route-refresh":
      writer.u8(CapabilityCode.enhancedRouteRefresh).u8(0);
      return;
    case "long-lived-graceful-restart":
      writer.u8(CapabilityCode.longLivedGracefulRestart).u8(7 * capability.families.length);
      for (const { afi, safi, forwardingPreserved, staleTime } of capability.families) {
        writer
          .u16(afi)
          .u8(safi)
          .u8(forwardingPreserved ? FORWARDING_STATE : 0)
          .u8(staleTime >>> 16)
          .u16(staleTime & 0xffff);
      }
      return;
    case "unknown":
      writer
        .u8(capability.code)
        .u8(capability.value.length / 2)
        .bytes(Buffer.from(capability.value, "hex"));
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

/** A known code with a value that cannot be is a capability we do not have: unknown (RFC 5492 3: ignored). */
function decodeCapability(code: number, value: Uint8Array): Capability {
  return decodeKnown(code, value) ?? { kind: "unknown", code, value: Buffer.from(value).toString("hex") };
}

function decodeKnown(code: number, value: Uint8Array): Capability | undefined {
  switch (code) {
    case CapabilityCode.multiprotocol:
      if (value.length !== 4) return undefined;
      return { kind: "multiprotocol", afi: readUint16(value, 0), safi: value[3]! };
    case CapabilityCode.routeRefresh:
      return value.length === 0 ? { kind: "route-refresh" } : undefined;
    case CapabilityCode.extendedNextHop:
      return decodeExtendedNextHop(value);
    case CapabilityCode.extendedMessage:
      return value.length === 0 ? { kind: "extended-message" } : undefined;
    case CapabilityCode.gracefulRestart:
      return decodeGracefulRestart(value);
    case CapabilityCode.fourOctetAs:
      return value.length === 4 ? { kind: "four-octet-as", asn: readUint32(value, 0) } : undefined;
    case CapabilityCode.addPath:
      return decodeAddPath(value);
    case CapabilityCode.enhancedRouteRefresh:
      return value.length === 0 ? { kind: "enhanced-route-refresh" } : undefined;
    case CapabilityCode.longLivedGracefulRestart:
      return decodeLongLived(value);
  }
  return undefined;
}

function decodeExtendedNextHop(value: Uint8Array): Capability | undefined {
  if (value.length % 6 !== 0) return undefined;
  const families = records(value, 0, 6, at => ({
    afi: readUint16(value, at),
    safi: readUint16(value, at + 2),
    nextHopAfi: readUint16(value, at + 4),
  }));
  return { kind: "extended-next-hop", families };
}

function decodeGracefulRestart(value: Uint8Array): Capability | undefined {
  if (value.length % 4 !== 2) return undefined;
  const flags = readUint16(value, 0);
  const families = records(value, 2, 4, at => ({
    afi: readUint16(value, at),
    safi: value[at + 2]!,
    forwardingPreserved: (value[at + 3]! & FORWARDING_STATE) !== 0,
  }));
  return {
    kind: "graceful-restart",
    restarting: (flags & RESTART_STATE) !== 0,
    notification: (flags & GRACEFUL_NOTIFICATION) !== 0,
    restartTime: flags & 0x0fff,
    families,
  };
}

function decodeAddPath(value: Uint8Array): Capability | undefined {
  if (value.length === 0 || value.length % 4 !== 0) return undefined;
  const families: AddPathFamily[] = [];
  for (let at = 0; at < value.length; at += 4) {
    const mode = value[at + 3]!;
    // RFC 7911 4: any other value, and the whole capability is as if not understood.
    if (mode < ADD_PATH_RECEIVE || mode > (ADD_PATH_SEND | ADD_PATH_RECEIVE)) return undefined;
    families.push({
      afi: readUint16(value, at),
      safi: value[at + 2]!,
      send: (mode & ADD_PATH_SEND) !== 0,
      receive: (mode & ADD_PATH_RECEIVE) !== 0,
    });
  }
  return { kind: "add-path", families };
}

function decodeLongLived(value: Uint8Array): Capability | undefined {
  if (value.length % 7 !== 0) return undefined;
  const families = records(value, 0, 7, at => ({
    afi: readUint16(value, at),
    safi: value[at + 2]!,
    forwardingPreserved: (value[at + 3]! & FORWARDING_STATE) !== 0,
    staleTime: (value[at + 4]! << 16) | readUint16(value, at + 5),
  }));
  return { kind: "long-lived-graceful-restart", families };
}

/** The records of `size` bytes from `start` to the end. */
function records<T>(value: Uint8Array, start: number, size: number, read: (at: number) => T): T[] {
  return Array.from({ length: (value.length - start) / size }, (_, i) => read(start + i * size));
}
