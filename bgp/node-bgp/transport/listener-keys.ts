/**
 * Who has which TCP MD5 key, as configured: neighbors by address, dynamic ones by prefix. The kernel knows addresses and prefixes only, no
 * interfaces and no exceptions; what it cannot tell apart is refused here, since otherwise somebody's packets would be dropped without a word.
 */

import { type Prefix, parseAddress, parsePrefix, prefixContains, withoutZone } from "../address.ts";
import { OptionError } from "../errors.ts";

export class ListenerKeys {
  readonly #setKey: (peers: string, password: string | undefined) => void;
  readonly #passwords = new Map<string, string | undefined>();
  readonly #prefixes = new Map<string, Prefix>();

  /** `setKey` tells the listeners; it may throw, and then nothing has changed. */
  constructor(setKey: (peers: string, password: string | undefined) => void) {
    this.#setKey = setKey;
  }

  /** `peers` is an address or a prefix, in canonical text. Throws {@link OptionError}, and what `setKey` throws. */
  set(peers: string, password: string | undefined): void {
    const prefix = parsePrefix(peers);
    if (prefix !== undefined) this.#checkPrefix(prefix, password);
    else this.#checkZones(peers, password);
    if (password === undefined) this.#checkCover(peers);
    this.#setKey(withoutZone(peers), password);
    this.#passwords.set(peers, password);
    if (prefix !== undefined) this.#prefixes.set(peers, prefix);
  }

  delete(peers: string): void {
    this.#passwords.delete(peers);
    this.#prefixes.delete(peers);
    if (this.#sameAddress(peers).length === 0) this.#setKey(withoutZone(peers), undefined);
  }

  /** One link-local address behind two interfaces. */
  #checkZones(address: string, password: string | undefined): void {
    const other = this.#sameAddress(address).find(one => this.#passwords.get(one) !== password);
    if (other === undefined) return;
    throw new OptionError(
      "password",
      password && "***",
      `the one of ${other}: the kernel has one key for an address, whatever the interface`,
    );
  }

  #sameAddress(address: string): string[] {
    const plain = withoutZone(address);
    if (plain === address) return [];
    return [...this.#passwords.keys()].filter(other => other !== address && withoutZone(other) === plain);
  }

  /** Without a password, inside of a prefix that has one. */
  #checkCover(peers: string): void {
    const bytes = firstAddress(peers);
    for (const [cover, prefix] of this.#prefixes) {
      if (cover === peers || this.#passwords.get(cover) === undefined) continue;
      if (isWithin(peers, bytes, prefix)) throw noException(cover);
    }
  }

  /** With a password, around somebody who has none. */
  #checkPrefix(prefix: Prefix, password: string | undefined): void {
    if (password === undefined) return;
    for (const [peers, other] of this.#passwords) {
      if (other !== undefined || !isWithin(peers, firstAddress(peers), prefix)) continue;
      throw new OptionError(
        "password",
        "***",
        `possible: ${peers} lies within and has none, but the kernel would ask it for one`,
      );
    }
  }
}

function firstAddress(peers: string): Uint8Array {
  return parsePrefix(peers)?.address ?? parseAddress(withoutZone(peers))!;
}

function isWithin(peers: string, bytes: Uint8Array, prefix: Prefix): boolean {
  const length = parsePrefix(peers)?.length ?? bytes.length * 8;
  return length > prefix.length && prefixContains(prefix, bytes);
}

function noException(cover: string): OptionError {
  return new OptionError(
    "password",
    undefined,
    `possible within ${cover}: its password is asked of everybody there`,
  );
}
