/** What a speaker has to say that is no error of a call and no change of state: a union by `code`; `text` is one line for people. */

import type { Family } from "./route.ts";
import type { PasswordRoom } from "./transport/transport.ts";

/** An UPDATE was wrong without being worth the session (RFC 7606), and what was done about it. */
export interface MalformedUpdateWarning {
  readonly code: "MalformedUpdate";
  readonly text: string;
  readonly address: string;
  readonly problems: readonly { readonly action: string; readonly text: string }[];
  /** How many prefixes the message had. */
  readonly prefixes: number;
}

/** A neighbor is near its limit of prefixes, or above it: `reset` says that its session ends for it. */
export interface MaxPrefixesWarning {
  readonly code: "MaxPrefixes";
  readonly text: string;
  readonly address: string;
  readonly family: Family;
  readonly prefixes: number;
  readonly limit: number;
  readonly action: "warn" | "reset";
}

/** The keys of TCP MD5 nearly fill the memory the kernel gives them: before it fails. */
export interface PasswordRoomWarning extends PasswordRoom {
  readonly code: "PasswordRoom";
  readonly text: string;
}

/** An address to listen on is not there (yet); it is tried again every second. */
export interface ListenPendingWarning {
  readonly code: "ListenPending";
  readonly text: string;
  readonly address: string;
}

/** The thread of BFD has died, and is started again: sessions go on, and no neighbor is taken for lost. */
export interface BfdFailedWarning {
  readonly code: "BfdFailed";
  readonly text: string;
}

/** Somebody was refused because the neighbors of its prefix are at their limit; once, until there is room again. */
export interface DynamicLimitWarning {
  readonly code: "DynamicLimit";
  readonly text: string;
  readonly prefix: string;
  readonly address: string;
  readonly limit: number;
}

/** Somebody was refused for the AS number it says it has. */
export interface DynamicAsnWarning {
  readonly code: "DynamicAsn";
  readonly text: string;
  readonly prefix: string;
  readonly address: string;
  readonly asn: number;
}

export type SpeakerWarning =
  | BfdFailedWarning
  | MalformedUpdateWarning
  | MaxPrefixesWarning
  | PasswordRoomWarning
  | ListenPendingWarning
  | DynamicLimitWarning
  | DynamicAsnWarning;

export type SpeakerWarningCode = SpeakerWarning["code"];

export function passwordRoomText({ keys, room, optionMemory, needed }: PasswordRoom): string {
  return (
    `${keys} TCP MD5 keys on a listening socket, and net.core.optmem_max = ${optionMemory} bytes holds ${room}: ` +
    `raise it (sysctl -w net.core.optmem_max=${needed}) before the next start, or give neighbors of a prefix one password (addDynamicNeighbors)`
  );
}
