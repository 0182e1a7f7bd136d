/** What an exporter is made of: collectors, and how patient it is with them. */

import { canonicalAddress } from "../address.ts";
import type { Clock } from "../clock.ts";
import { OptionError } from "../errors.ts";
import type { Transport } from "../transport/transport.ts";

/** Routes as neighbors send them, as our import policies leave them, or each in both forms. */
export type BmpView = "pre-policy" | "post-policy" | "both";

export interface BmpCollectorOptions {
  readonly address: string;
  readonly port: number;
  /** Default `pre-policy`. */
  readonly view?: BmpView;
  /** Source address of the connection; default: what the kernel chooses. */
  readonly localAddress?: string;
  /** TCP MD5 key (RFC 2385), at most 80 bytes. Linux, needs `koffi`. */
  readonly password?: string;
}

export interface BmpOptions {
  readonly collectors: readonly BmpCollectorOptions[];
  /** sysName in the Initiation message; default: empty. */
  readonly systemName?: string;
  /** sysDescr in the Initiation message; default `node-bgp`. */
  readonly systemDescription?: string;
  /** Seconds between Statistics Reports, at least 1; default 0: none. */
  readonly statisticsInterval?: number;
  /** Bytes that may wait for a collector before it is dropped; default 64 MiB. */
  readonly maxQueueBytes?: number;
  /** Seconds until a collector is dialled again, doubled up to the longest; default `{ first: 30, longest: 720 }`. */
  readonly retry?: { readonly first: number; readonly longest: number };
  readonly clock?: Clock;
  /** In [0, 1); for jitter. */
  readonly random?: () => number;
  readonly transport?: Transport;
}

export const DEFAULT_RETRY = { first: 30, longest: 720 };
export const DEFAULT_MAX_QUEUE = 64 * 1024 * 1024;
const MAX_SECONDS = 86_400;
const VIEWS: readonly BmpView[] = ["pre-policy", "post-policy", "both"];

/** Throws {@link OptionError}. */
export function checkBmpOptions(options: BmpOptions): void {
  const { collectors, statisticsInterval = 0, maxQueueBytes = 1, retry = DEFAULT_RETRY } = options;
  collectors.forEach(({ address, port, view = "both" }, i) => {
    const at = `collectors[${i}]`;
    if (canonicalAddress(address) === undefined)
      throw new OptionError(`${at}.address`, address, "an address");
    if (!isBetween(port, 1, 65_535)) throw new OptionError(`${at}.port`, port, "a port of TCP");
    if (!VIEWS.includes(view)) throw new OptionError(`${at}.view`, view, `one of ${VIEWS.join(", ")}`);
  });
  if (statisticsInterval !== 0 && !isBetween(statisticsInterval, 1, MAX_SECONDS))
    throw new OptionError("statisticsInterval", statisticsInterval, `0, or 1 to ${MAX_SECONDS} seconds`);
  if (!isBetween(maxQueueBytes, 1, Number.MAX_SAFE_INTEGER))
    throw new OptionError("maxQueueBytes", maxQueueBytes, "a number of bytes");
  if (!isBetween(retry.first, 0.1, retry.longest) || !isBetween(retry.longest, 0.1, MAX_SECONDS))
    throw new OptionError("retry", retry, `seconds with 0.1 <= first <= longest <= ${MAX_SECONDS}`);
}

function isBetween(value: number, low: number, high: number): boolean {
  return Number.isFinite(value) && value >= low && value <= high;
}
