/** MAC addresses as values: six bytes in lower-case hex, joined by colons. */

import { AddressError, bytesToIp, type Ip } from "./ip.ts";

declare const macBrand: unique symbol;

export type Mac = string & { readonly [macBrand]: true };

export function mac(text: string): Mac {
  const lower = text.toLowerCase();
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(lower)) throw new AddressError(text, "a MAC address");
  return lower as Mac;
}

export function macToBytes(address: Mac): Uint8Array {
  return Uint8Array.from(address.split(":"), byte => Number.parseInt(byte, 16));
}

export function bytesToMac(bytes: Uint8Array): Mac {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join(":") as Mac;
}

/** The link-local address an interface with this MAC gives itself (RFC 4291 appendix A, modified EUI-64). */
export function linkLocalAddress(address: Mac): Ip {
  const m = macToBytes(address);
  return bytesToIp(
    Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0]! ^ 2, m[1]!, m[2]!, 0xff, 0xfe, m[3]!, m[4]!, m[5]!),
  );
}
