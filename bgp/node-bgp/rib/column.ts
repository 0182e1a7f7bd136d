/**
 * How typed arrays indexed by an id grow.
 *
 * Fourfold while small; then millions of entries are reserved at once. The system gives memory to a page when it is first written, so what is
 * reserved and not used costs address space only, and a table that fills from the front never copies itself again: no
 * turn of the event loop pays for that. Beyond the reserve arrays double, some milliseconds per step.
 */

export type Column = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

const RESERVE_FROM = 1 << 16;
const RESERVE = 1 << 22;

/** The next capacity, in entries. */
export function capacityAbove(capacity: number): number {
  if (capacity >= RESERVE) return capacity * 2;
  return capacity >= RESERVE_FROM ? RESERVE : capacity * 4;
}

/** A longer copy, zero behind the old end. */
export function grown<T extends Column>(column: T, length: number): T {
  const longer = new (column.constructor as new (length: number) => T)(length);
  longer.set(column);
  return longer;
}
