/**
 * Which chains something leads to from a hook, by counting references: a chain that is not live costs nothing and is not in the
 * kernel. References of a chain count only while it is live itself.
 */

export class LiveChains {
  readonly #counts = new Map<string, number>();
  readonly #referencesOf: (chain: string) => readonly string[];
  readonly #changed: (chain: string) => void;

  /** `referencesOf`: the chains that a chain leads to, each once. `changed` is told of chains that became live, or no longer are. */
  constructor(referencesOf: (chain: string) => readonly string[], changed: (chain: string) => void) {
    this.#referencesOf = referencesOf;
    this.#changed = changed;
  }

  has(chain: string): boolean {
    return this.#counts.has(chain);
  }

  names(): IterableIterator<string> {
    return this.#counts.keys();
  }

  acquire(chain: string): void {
    const count = (this.#counts.get(chain) ?? 0) + 1;
    this.#counts.set(chain, count);
    if (count > 1) return;
    this.#changed(chain);
    for (const target of this.#referencesOf(chain)) this.acquire(target);
  }

  release(chain: string): void {
    const count = (this.#counts.get(chain) ?? 0) - 1;
    if (count > 0) {
      this.#counts.set(chain, count);
      return;
    }
    this.#counts.delete(chain);
    this.#changed(chain);
    for (const target of this.#referencesOf(chain)) this.release(target);
  }
}
