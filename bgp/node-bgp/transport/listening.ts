/**
 * Everything a speaker listens on, as one: several addresses, their TCP MD5 keys, and addresses that are not there yet.
 *
 * An address that this host does not have (EADDRNOTAVAIL) is tried again every second: service addresses, tunnels and IPv6 addresses
 * still being checked for duplicates come up after daemons do. Any other failure is the caller's. Keys are remembered, for listeners that
 * come later. Changes are made one after the other.
 */

import { canonicalAddress } from "../address.ts";
import type { Clock, TimerHandle } from "../clock.ts";
import { BgpError } from "../errors.ts";
import type { Connection, Listener, PasswordRoom, Transport } from "./transport.ts";

export interface ListenAddresses {
  /** 0: any free one, the same for all addresses. */
  readonly port: number;
  /** Undefined: all addresses of both versions. */
  readonly addresses: readonly string[] | undefined;
  readonly interface: string | undefined;
}

export interface ListeningOwner {
  onConnection(connection: Connection): void;
  /** Once for each address that is waited for, and where waiting meets another error. */
  onPending(address: string, error: BgpError): void;
  /** The memory for keys is nearly used up; once. */
  onPasswordRoom(room: PasswordRoom): void;
}

/** Something to listen on. */
interface Place {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  readonly interface: string | undefined;
  /** It may be missing for good. */
  readonly optional: boolean;
}

const RETRY_MS = 1_000;
const ALL_IPV4 = "0.0.0.0";
const ALL_IPV6 = "::";
/** The part of the memory for TCP MD5 keys above which its end is announced. */
const ROOM_WARNING = 0.8;

export class Listening {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #owner: ListeningOwner;
  readonly #listeners = new Map<string, Listener>();
  #places: readonly Place[] = [];
  readonly #reported = new Set<string>();
  readonly #passwords = new Map<string, string>();
  #expectsTtlSecurity = false;
  #hasWarned = false;
  #retryTimer: TimerHandle | undefined;
  #changing: Promise<void> = Promise.resolve();

  constructor(transport: Transport, clock: Clock, owner: ListeningOwner) {
    this.#transport = transport;
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Undefined where nothing is listened on. */
  get port(): number | undefined {
    const [first] = this.#listeners.values();
    return first?.port;
  }

  /** Addresses listened on, and addresses waited for. */
  status(): { readonly addresses: string[]; readonly pending: string[] } {
    const addressesWhere = (isOpen: boolean) =>
      this.#places
        .filter(({ key }) => this.#listeners.has(key) === isOpen)
        .map(({ address }) => address)
        .filter(address => isOpen || this.#reported.has(address));
    return { addresses: addressesWhere(true), pending: addressesWhere(false) };
  }

  /**
   * Listens on these addresses, and no longer on others; undefined: on none. What is new is there before what is old goes. Throws
   * {@link BgpError}, and then listens where it did before.
   */
  change(setting: ListenAddresses | undefined): Promise<void> {
    return this.#exclusively(async () => {
      this.#clock.clearTimeout(this.#retryTimer);
      const wanted = placesOf(setting);
      // The same address and port can be had once: where only the interface is another, the old one goes first.
      const isInTheWay = ({ key, address, port }: Place) =>
        wanted.some(place => place.key !== key && place.address === address && place.port === port);
      await this.#close(this.#places.filter(isInTheWay));
      const opened: Place[] = [];
      try {
        for (const place of wanted) {
          if (this.#listeners.has(place.key)) continue;
          await this.#open(place, [...this.#places, ...opened]);
          opened.push(place);
        }
      } catch (error) {
        await this.#close(opened);
        this.#retryLater();
        throw error;
      }
      const kept = new Set(wanted.map(({ key }) => key));
      await this.#close(this.#places.filter(({ key }) => !kept.has(key)));
      this.#places = wanted;
      this.#retryLater();
    });
  }

  /** The key for an address or a prefix; undefined removes it. Throws {@link BgpError}; then the key is the one before. */
  setPassword(peers: string, password: string | undefined): void {
    const before = this.#passwords.get(peers);
    if (before === password) return;
    try {
      for (const listener of this.#listeners.values()) listener.setPassword(peers, password);
    } catch (error) {
      for (const listener of this.#listeners.values()) listener.setPassword(peers, before);
      throw error;
    }
    if (password === undefined) this.#passwords.delete(peers);
    else this.#passwords.set(peers, password);
    this.#checkRoom();
  }

  expectTtlSecurity(): void {
    if (this.#expectsTtlSecurity) return;
    for (const listener of this.#listeners.values()) listener.expectTtlSecurity?.();
    this.#expectsTtlSecurity = true;
  }

  #exclusively(action: () => Promise<void>): Promise<void> {
    const done = this.#changing.then(action);
    this.#changing = done.catch(() => {});
    return done;
  }

  /** `others` are places that may have a listener already. */
  async #open(place: Place, others: readonly Place[]): Promise<void> {
    const { key, address, interface: name } = place;
    const isOpen = (other: Place) => other.port === place.port && this.#listeners.has(other.key);
    const shared = place.port === 0 ? others.find(isOpen) : undefined;
    const port = shared === undefined ? place.port : this.#listeners.get(shared.key)!.port;
    let listener: Listener;
    try {
      const options = { port, address, interface: name };
      listener = await this.#transport.listen(options, connection => this.#owner.onConnection(connection));
    } catch (error) {
      if (!isNotThereYet(error)) throw error;
      if (place.optional) return;
      if (!this.#reported.has(address)) this.#owner.onPending(address, error);
      this.#reported.add(address);
      return;
    }
    try {
      for (const [peers, password] of this.#passwords) listener.setPassword(peers, password);
      if (this.#expectsTtlSecurity) listener.expectTtlSecurity?.();
    } catch (error) {
      await listener.close();
      throw error;
    }
    this.#listeners.set(key, listener);
    this.#reported.delete(address);
    this.#checkRoom();
  }

  #retryLater(): void {
    const missing = this.#places.filter(({ key, optional }) => !optional && !this.#listeners.has(key));
    if (missing.length === 0) return;
    const retry = async () => {
      for (const place of missing) {
        await this.#open(place, this.#places).catch((error: BgpError) => {
          // Now the address is there, and something else is wrong; that may pass as well.
          this.#owner.onPending(place.address, error);
        });
      }
      this.#retryLater();
    };
    const round = () => this.#exclusively(() => (this.#retryTimer === timer ? retry() : Promise.resolve()));
    const timer = this.#clock.setTimeout(() => void round(), RETRY_MS);
    this.#retryTimer = timer;
  }

  async #close(places: readonly Place[]): Promise<void> {
    const closing = places.map(({ key, address }) => {
      const listener = this.#listeners.get(key);
      this.#listeners.delete(key);
      this.#reported.delete(address);
      return listener?.close();
    });
    await Promise.all(closing);
  }

  #checkRoom(): void {
    if (this.#hasWarned) return;
    for (const listener of this.#listeners.values()) {
      const room = listener.passwordRoom?.();
      if (room === undefined || room.keys < ROOM_WARNING * room.room) continue;
      this.#hasWarned = true;
      this.#owner.onPasswordRoom(room);
      return;
    }
  }
}

function placesOf(setting: ListenAddresses | undefined): Place[] {
  if (setting === undefined) return [];
  const { port, addresses, interface: name } = setting;
  const place = (text: string, optional: boolean): Place => {
    const address = canonicalAddress(text) ?? text;
    return { key: `${address} ${port} ${name ?? ""}`, address, port, interface: name, optional };
  };
  // A host without IPv6 has no `::`, and will not get it.
  if (addresses === undefined) return [place(ALL_IPV4, false), place(ALL_IPV6, true)];
  return addresses.map(address => place(address, false));
}

function isNotThereYet(error: unknown): error is BgpError {
  if (!(error instanceof BgpError) || error.detail.code !== "ListenFailed") return false;
  return error.detail.system === "EADDRNOTAVAIL" || error.detail.system === "EAFNOSUPPORT";
}
