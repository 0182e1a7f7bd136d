/** Where paths come from: local origination or a neighbor, as a small integer the RIB can store per attribute set. */

import type { SourceType } from "../route.ts";

export interface Source {
  /** 0 is local origination. */
  readonly index: number;
  readonly type: SourceType;
  /** Canonical text; "local" for local origination. */
  readonly address: string;
  readonly addressBytes: Uint8Array;
  /** A client of ours (RFC 4456). */
  readonly reflectorClient: boolean;
  /** Its BGP identifier as unsigned 32 bit; 0 until its first OPEN. */
  readonly routerId: number;
}

export const LOCAL_SOURCE: Source = {
  index: 0,
  type: "local",
  address: "local",
  addressBytes: new Uint8Array(0),
  reflectorClient: false,
  routerId: 0,
};

/** The sources by index. Indexes are reused after {@link SourceTable.release}, so paths must be gone by then. */
export class SourceTable {
  readonly #sources: (Source | undefined)[] = [LOCAL_SOURCE];

  add(source: Omit<Source, "index">): Source {
    let index = this.#sources.indexOf(undefined);
    if (index < 0) index = this.#sources.length;
    const added = { ...source, index };
    this.#sources[index] = added;
    return added;
  }

  update(index: number, part: Partial<Omit<Source, "index" | "address" | "addressBytes">>): void {
    this.#sources[index] = { ...this.get(index), ...part };
  }

  get(index: number): Source {
    const source = this.#sources[index];
    if (source === undefined) throw new RangeError(`no route source ${index}`);
    return source;
  }

  release(index: number): void {
    this.#sources[index] = undefined;
  }
}
