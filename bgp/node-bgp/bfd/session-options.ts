/** {@link BfdSessionOptions} checked and completed: the one place where they get their defaults and limits. */

import { canonicalAddress, isLinkLocal, parseAddress } from "../address.ts";
import { OptionError } from "../errors.ts";
import { MAX_TTL } from "./constants.ts";
import type { SessionConfig } from "./session.ts";
import type { SessionPath } from "./worker-protocol.ts";

/** What can be changed while a session lives. */
export interface BfdTimerOptions {
  /** Milliseconds between the packets we would like to send, 10..60000; default 300. Not Up: 1000 at least. */
  readonly transmitInterval?: number | undefined;
  /** Milliseconds between the packets we can take, 10..60000; default 300. */
  readonly receiveInterval?: number | undefined;
  /** How many packets of ours the neighbor has to miss until we are down for it, 1..255; default 3. */
  readonly multiplier?: number | undefined;
  /** Milliseconds between measurements of the round trip while Up, 1000..3600000, or 0 for none; default 10000. */
  readonly pollInterval?: number | undefined;
  /** Shut down: the neighbor is told so, and does not take it for a failure. Default false. */
  readonly adminDown?: boolean | undefined;
}

export interface BfdSessionOptions extends BfdTimerOptions {
  /** IPv4 or IPv6 address; a link-local one with its zone, `fe80::1%eth0`. */
  readonly address: string;
  /** Source address of our packets; default: what the kernel chooses. */
  readonly localAddress?: string | undefined;
  /** Send and take packets on this interface only. Default: any; with a link-local address its zone. */
  readonly interface?: string | undefined;
  /** RFC 5883, UDP port 4784; default RFC 5881: one hop, port 3784, packets from further away are dropped. */
  readonly multihop?: boolean | undefined;
  /** Multihop: packets that arrive with a TTL below are dropped, 1..255; default 1. */
  readonly minimumTtl?: number | undefined;
}

const MIN_INTERVAL = 10;
const MAX_INTERVAL = 60_000;
const DEFAULT_INTERVAL = 300;
const DEFAULT_MULTIPLIER = 3;
const DEFAULT_POLL_INTERVAL = 10_000;
/** IFNAMSIZ with its zero byte. */
const MAX_INTERFACE_BYTES = 15;

/** Throws {@link OptionError}. */
export function sessionPath(options: BfdSessionOptions): SessionPath {
  const { address, zone, bytes } = addressOption("address", options.address);
  const isOnLink = isLinkLocal(bytes);
  const { multihop = false, interface: name = zone } = options;
  if (
    name !== undefined &&
    (name === "" || Buffer.byteLength(name) > MAX_INTERFACE_BYTES || /[/\s]/.test(name))
  ) {
    throw new OptionError("interface", name, "the name of an interface");
  }
  if (zone !== undefined && name !== zone)
    throw new OptionError("interface", name, `the zone of ${options.address}`);
  if (isOnLink && name === undefined) {
    throw new OptionError("address", options.address, "usable without a zone (fe80::1%eth0) or an interface");
  }
  if (isOnLink && multihop) throw new OptionError("multihop", true, `possible with ${options.address}`);
  const local =
    options.localAddress === undefined ? undefined : addressOption("localAddress", options.localAddress);
  if (local !== undefined && local.bytes.length !== bytes.length) {
    throw new OptionError("localAddress", options.localAddress, `of the family of ${options.address}`);
  }
  return {
    address,
    localAddress: local?.address,
    interface: name,
    multihop,
    minimumTtl: multihop ? number("minimumTtl", options.minimumTtl ?? 1, 1, MAX_TTL) : MAX_TTL,
  };
}

/** The address as its owner knows it. */
export function pathName({ address, interface: name }: SessionPath): string {
  return isLinkLocal(parseAddress(address)!) ? `${address}%${name}` : address;
}

/** In microseconds. Throws {@link OptionError}. */
export function sessionConfig(options: BfdTimerOptions): SessionConfig {
  const interval = (name: "transmitInterval" | "receiveInterval") =>
    number(name, options[name] ?? DEFAULT_INTERVAL, MIN_INTERVAL, MAX_INTERVAL) * 1000;
  const { pollInterval = DEFAULT_POLL_INTERVAL } = options;
  return {
    minTx: interval("transmitInterval"),
    minRx: interval("receiveInterval"),
    multiplier: number("multiplier", options.multiplier ?? DEFAULT_MULTIPLIER, 1, 255),
    pollInterval: pollInterval === 0 ? 0 : number("pollInterval", pollInterval, 1_000, 3_600_000) * 1000,
    adminDown: options.adminDown ?? false,
  };
}

function addressOption(
  option: string,
  text: string,
): { address: string; zone: string | undefined; bytes: Uint8Array } {
  const canonical = canonicalAddress(text);
  if (canonical === undefined) throw new OptionError(option, text, "an IPv4 or IPv6 address");
  const [address = "", zone] = canonical.split("%");
  return { address, zone, bytes: parseAddress(address)! };
}

function number(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(name, value, `a whole number from ${min} to ${max}`);
}
