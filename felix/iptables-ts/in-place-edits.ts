/**
 * Chains in which somebody edited a rule of ours in place and kept its comment: the hashes are right, and the kernel prints the rules
 * otherwise than when it was last read. How it prints a rule is not known before it has done so, in words of its own; what it prints
 * first after a writing is taken for what was written.
 */

export class InPlaceEdits {
  /** How the kernel printed our rules of a chain when it was last read, and which rules these were. */
  readonly #printed = new Map<string, { readonly hashes: number; readonly texts: number }>();
  readonly #edited = new Set<string>();

  /** The kernel is read anew; it contains these chains and no others. */
  beginReading(chains: { has(chain: string): boolean } | undefined): void {
    this.#edited.clear();
    for (const chain of this.#printed.keys()) if (!chains?.has(chain)) this.#printed.delete(chain);
  }

  /** Our rules of a chain, as they were read. */
  read(chain: string, hashes: readonly string[], texts: readonly string[]): void {
    const before = this.#printed.get(chain);
    const now = { hashes: fingerprint(hashes), texts: fingerprint(texts) };
    if (before?.hashes === now.hashes && before.texts !== now.texts) this.#edited.add(chain);
    else this.#printed.set(chain, now);
  }

  /** However it is printed next time is how it should be. */
  written(chain: string): void {
    this.#edited.delete(chain);
    this.#printed.delete(chain);
  }

  has(chain: string): boolean {
    return this.#edited.has(chain);
  }
}

/** FNV-1a: 20,000 rules are fingerprinted in a few milliseconds. Guards against accidents, not against forgery. */
function fingerprint(texts: readonly string[]): number {
  let h = 0x811c9dc5;
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h = Math.imul(h ^ 10, 0x01000193);
  }
  return h;
}
