/**
 * How many prefixes a neighbor may send (RFC 4271 6.7): who is near the limit is reported once, who is above it is reported or loses
 * its session with Cease/Maximum Number of Prefixes Reached (RFC 4486).
 */

import { MessageError } from "../errors.ts";
import { afiSafiOf, Cease, NotificationCode } from "../message/constants.ts";
import { Writer } from "../message/writer.ts";
import type { Family } from "../route.ts";
import type { ConnectionEnd } from "./connection-fsm.ts";
import type { MaxPrefixes } from "./neighbor-config.ts";

export interface LimitVerdict {
  readonly action: "warn" | "reset";
  readonly text: string;
  /** Ends the session. */
  readonly error?: MessageError;
}

/** How long a neighbor stays Idle when its session has ended for the limit, ms; undefined: as after any error. */
export function holdAfter(end: ConnectionEnd, setting: MaxPrefixes | undefined): number | undefined {
  const { reason, notification } = end;
  const isOurs = reason === "notification-sent" && notification?.code === NotificationCode.cease;
  if (!isOurs || notification.subcode !== Cease.maximumPrefixes) return undefined;
  const restartAfter = setting?.restartAfter;
  if (restartAfter === "never") return Number.POSITIVE_INFINITY;
  return restartAfter === undefined ? undefined : restartAfter * 1000;
}

type Level = "below" | "near" | "above";

export class PrefixLimit {
  #setting: MaxPrefixes | undefined;
  /** What was last reported; not again before it is another. */
  readonly #levels = new Map<Family, Level>();

  constructor(setting: MaxPrefixes | undefined) {
    this.#setting = setting;
  }

  change(setting: MaxPrefixes | undefined): void {
    const isOther = setting?.limit !== this.#setting?.limit || setting?.warnAt !== this.#setting?.warnAt;
    this.#setting = setting;
    if (isOther) this.forget();
  }

  /** A new session. */
  forget(): void {
    this.#levels.clear();
  }

  /** After an announcement; undefined where there is nothing new to say. */
  check(family: Family, prefixes: number): LimitVerdict | undefined {
    if (this.#setting === undefined) return undefined;
    const { limit, warnAt, action } = this.#setting;
    const level: Level = prefixes > limit ? "above" : prefixes > (limit * warnAt) / 100 ? "near" : "below";
    if (level === (this.#levels.get(family) ?? "below")) return undefined;
    this.#levels.set(family, level);
    if (level === "below") return undefined;
    const text = `${prefixes} of at most ${limit} prefixes (${family})`;
    if (level === "near" || action === "warn") return { action: "warn", text };
    const { afi, safi } = afiSafiOf(family);
    const data = new Writer(8).u16(afi).u8(safi).u32(limit).copy();
    const error = new MessageError(NotificationCode.cease, Cease.maximumPrefixes, text, data);
    return { action: "reset", text, error };
  }
}
