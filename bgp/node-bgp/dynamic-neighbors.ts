/**
 * Neighbors that nobody has configured one by one: whoever dials from a prefix. A setting is one prefix with its options; a neighbor comes to be
 * when its OPEN has said which AS it is of (session/greeting.ts), and goes when nothing is left of it: no connection, and no routes kept for
 * a restart.
 *
 * Those who have not said who they are count against the limit as well, so that what a stranger can make us hold is bounded.
 */

import {
  familyOfAddress,
  formatPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
  withoutZone,
} from "./address.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { BgpError, OptionError } from "./errors.ts";
import { Cease, NotificationCode, OpenError } from "./message/constants.ts";
import type { NotificationMessage } from "./message/notification.ts";
import type { AsnSet, DynamicNeighborsOptions, DynamicNeighborsStatus, NeighborOptions } from "./neighbor.ts";
import { Greeting, refuse } from "./session/greeting.ts";
import { type NeighborConfig, neighborConfig } from "./session/neighbor-config.ts";
import type { SpeakerOptions } from "./speaker-options.ts";
import type { Connection } from "./transport/transport.ts";
import type { SpeakerWarning } from "./warning.ts";

/** One setting, checked. */
export interface DynamicSetting {
  /** Canonical text. */
  readonly prefix: string;
  readonly network: Prefix;
  readonly ranges: readonly (readonly [from: number, to: number])[];
  readonly limit: number;
  readonly options: DynamicNeighborsOptions;
}

interface Group {
  setting: DynamicSetting;
  readonly greetings: Map<string, Greeting>;
  readonly members: Set<string>;
  isFull: boolean;
}

export interface DynamicNeighborsOwner {
  speakerOptions(): SpeakerOptions;
  /** GTSM and interface of an accepted connection; false where they cannot be had. */
  secure(connection: Connection, setting: DynamicSetting): boolean;
  /** A neighbor comes to be, by this connection. */
  adopt(config: NeighborConfig, connection: Connection): void;
  /** Nothing is left of it. */
  isQuiet(address: string): boolean;
  remove(address: string): void;
  warn(warning: SpeakerWarning): void;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 65_535;
const MAX_ASN = 0xffffffff;
/** How often those that are down are looked at. */
const CHECK_MS = 1_000;

export class DynamicNeighbors {
  readonly #clock: Clock;
  readonly #owner: DynamicNeighborsOwner;
  readonly #groups = new Map<string, Group>();
  /** Members that are not Established. */
  readonly #down = new Set<string>();
  #checkTimer: TimerHandle | undefined;

  constructor(clock: Clock, owner: DynamicNeighborsOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Throws `DynamicExists`. */
  add(setting: DynamicSetting): void {
    const { prefix } = setting;
    if (this.#groups.has(prefix)) {
      throw new BgpError(
        { code: "DynamicExists", prefix },
        `there are dynamic neighbors of ${prefix} already`,
      );
    }
    this.#groups.set(prefix, { setting, greetings: new Map(), members: new Set(), isFull: false });
  }

  /** Replaces a setting; returns the neighbors there are. Throws `DynamicUnknown`. */
  update(setting: DynamicSetting): string[] {
    const group = this.#group(setting.prefix);
    group.setting = setting;
    return [...group.members];
  }

  /** Returns the neighbors there are, which are now the caller's to end. Throws `DynamicUnknown`. */
  remove(prefix: string): string[] {
    const group = this.#group(prefix);
    this.#groups.delete(prefix);
    for (const greeting of group.greetings.values()) greeting.end();
    for (const address of group.members) this.#down.delete(address);
    return [...group.members];
  }

  get(prefix: string): DynamicSetting {
    return this.#group(prefix).setting;
  }

  settings(): DynamicSetting[] {
    return [...this.#groups.values()].map(({ setting }) => setting);
  }

  status(): DynamicNeighborsStatus[] {
    return [...this.#groups.values()].map(({ setting: { prefix, limit, options }, members }) => ({
      prefix,
      asn: options.asn,
      limit,
      neighbors: [...members],
      description: options.description,
    }));
  }

  /** The setting an address falls under: the most specific one. */
  find(address: string): DynamicSetting | undefined {
    return this.#find(address)?.setting;
  }

  /** False where the connection is none of ours. */
  accept(connection: Connection): boolean {
    const { remoteAddress } = connection;
    const group = this.#find(remoteAddress);
    if (group === undefined || !this.#owner.secure(connection, group.setting)) return false;
    // It dials again: what it began before is dead.
    group.greetings.get(remoteAddress)?.end();
    if (group.members.size + group.greetings.size >= group.setting.limit) {
      this.#refuseForLimit(group, connection);
      return true;
    }
    const greeting = new Greeting(connection, this.#clock, {
      onOpen: (_, { asn }) => {
        group.greetings.delete(remoteAddress);
        this.#onOpen(group, connection, asn);
      },
      onOver: () => group.greetings.delete(remoteAddress),
    });
    group.greetings.set(remoteAddress, greeting);
    return true;
  }

  /** A neighbor has changed its state. */
  noteState(address: string, prefix: string, isEstablished: boolean): void {
    if (!this.#groups.get(prefix)?.members.has(address)) return;
    if (isEstablished) this.#down.delete(address);
    else {
      this.#down.add(address);
      this.#checkLater();
    }
  }

  /** A neighbor has been taken away. */
  forget(address: string, prefix: string): void {
    this.#down.delete(address);
    const group = this.#groups.get(prefix);
    group?.members.delete(address);
    if (group !== undefined) group.isFull = false;
  }

  stop(): void {
    if (this.#checkTimer !== undefined) this.#clock.clearTimeout(this.#checkTimer);
    this.#down.clear();
    for (const { greetings } of this.#groups.values())
      for (const greeting of greetings.values()) greeting.end();
  }

  /** The configuration of a neighbor of this AS; undefined where the setting does not have it. */
  configOf(setting: DynamicSetting, address: string, asn: number): NeighborConfig | undefined {
    if (!setting.ranges.some(([from, to]) => asn >= from && asn <= to)) return undefined;
    const options = { ...neighborOptions(setting.options), address, asn, passive: true };
    return { ...neighborConfig(options, this.#owner.speakerOptions()), dynamic: setting.prefix };
  }

  #onOpen(group: Group, connection: Connection, asn: number): void {
    const { setting } = group;
    const { prefix } = setting;
    const address = connection.remoteAddress;
    const config = this.configOf(setting, address, asn);
    if (config === undefined) {
      const text = `${address} says it is of AS ${asn}, which ${prefix} does not allow`;
      this.#owner.warn({ code: "DynamicAsn", prefix, address, asn, text });
      refuse(connection, notification(NotificationCode.open, OpenError.badPeerAs));
      return;
    }
    group.members.add(address);
    this.#owner.adopt(config, connection);
  }

  #refuseForLimit(group: Group, connection: Connection): void {
    const { prefix, limit } = group.setting;
    const address = connection.remoteAddress;
    refuse(connection, notification(NotificationCode.cease, Cease.connectionRejected));
    if (group.isFull) return;
    group.isFull = true;
    const text = `${address} is refused: there are ${limit} neighbors of ${prefix}, which is the limit`;
    this.#owner.warn({ code: "DynamicLimit", prefix, address, limit, text });
  }

  #checkLater(): void {
    if (this.#checkTimer !== undefined || this.#down.size === 0) return;
    this.#checkTimer = this.#clock.setTimeout(() => {
      this.#checkTimer = undefined;
      for (const address of [...this.#down]) if (this.#owner.isQuiet(address)) this.#owner.remove(address);
      this.#checkLater();
    }, CHECK_MS);
  }

  #group(prefix: string): Group {
    const group = this.#groups.get(prefix);
    if (group !== undefined) return group;
    throw new BgpError({ code: "DynamicUnknown", prefix }, `there are no dynamic neighbors of ${prefix}`);
  }

  #find(address: string): Group | undefined {
    const bytes = parseAddress(withoutZone(address));
    if (bytes === undefined) return undefined;
    let best: Group | undefined;
    for (const group of this.#groups.values()) {
      const { network, options } = group.setting;
      if (!prefixContains(network, bytes) || !isBehind(address, options.interface)) continue;
      if (best === undefined || network.length > best.setting.network.length) best = group;
    }
    return best;
  }
}

/** Whether a link-local address can be behind the interface; others are held to theirs by the socket. */
function isBehind(address: string, name: string | undefined): boolean {
  const percent = address.indexOf("%");
  return percent < 0 || name === undefined || address.slice(percent + 1) === name;
}

/** Throws {@link OptionError}. */
export function dynamicSetting(options: DynamicNeighborsOptions, speaker: SpeakerOptions): DynamicSetting {
  const network = parsePrefix(options.prefix);
  if (network === undefined) throw new OptionError("prefix", options.prefix, "a prefix such as 10.0.0.0/24");
  const ranges = asnRanges(options.asn);
  const { limit = DEFAULT_LIMIT } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new OptionError("limit", limit, `a whole number from 1 to ${MAX_LIMIT}`);
  }
  const prefix = formatPrefix(network);
  // The same checks as for a neighbor, with an address and each kind of AS (internal, external) it may turn out to have.
  const localAsn = options.localAsn ?? speaker.asn;
  const samples = new Set(
    ranges.flatMap(([from, to]) => (localAsn > from && localAsn <= to ? [from, localAsn] : [from])),
  );
  const example = exampleAddress(prefix, options);
  for (const asn of samples) neighborConfig({ ...neighborOptions(options), address: example, asn }, speaker);
  return { prefix, network, ranges, limit, options };
}

function exampleAddress(prefix: string, options: DynamicNeighborsOptions): string {
  const [address = ""] = prefix.split("/");
  const isLinkLocal = familyOfAddress(address) === "ipv6-unicast" && /^fe[89ab]/.test(address);
  return isLinkLocal && options.interface === undefined ? `${address}%any` : address;
}

function neighborOptions(options: DynamicNeighborsOptions): Omit<NeighborOptions, "address" | "asn"> {
  const { prefix: _prefix, asn: _asn, limit: _limit, ...rest } = options;
  return rest;
}

function asnRanges(set: AsnSet): (readonly [number, number])[] {
  const list = typeof set === "number" ? [set] : set;
  const ranges = list.map(item => (typeof item === "number" ? ([item, item] as const) : item));
  const isAsn = (asn: number) => Number.isInteger(asn) && asn >= 1 && asn <= MAX_ASN;
  if (ranges.length === 0 || !ranges.every(([from, to]) => isAsn(from) && isAsn(to) && from <= to)) {
    throw new OptionError("asn", set, "an AS number, or a list of AS numbers and [from, to]");
  }
  return ranges;
}

function notification(code: number, subcode: number): NotificationMessage {
  return { code, subcode, data: new Uint8Array(0) };
}
