/** One of a neighbor's connections as the neighbor's machine sees it, and which of two stays (RFC 4271 6.8). */

export type Direction = "outgoing" | "incoming";

export interface Slot {
  readonly id: number;
  readonly direction: Direction;
  /** Connected: TCP is up and our OPEN waits for the DelayOpenTimer. */
  readonly phase: "Connect" | "Connected" | "OpenSent" | "OpenConfirm" | "Established";
  /** It has our KEEPALIVE. */
  readonly confirmed: boolean;
  readonly remoteRouterId: number;
  readonly remoteAsn: number;
  /** When it became Established, ms. */
  readonly since: number;
  /** The neighbor keeps its routes over a restart, so a newer connection may mean it has restarted. */
  readonly gracefulRestart: boolean;
}

interface LocalSpeaker {
  readonly localRouterId: number;
  readonly localAsn: number;
}

export function newSlot(id: number, direction: Direction, phase: Slot["phase"]): Slot {
  return {
    id,
    direction,
    phase,
    confirmed: false,
    remoteRouterId: 0,
    remoteAsn: 0,
    since: 0,
    gracefulRestart: false,
  };
}

/** Connected, and nothing heard of it yet. */
export function isSilent({ phase }: Slot): boolean {
  return phase === "Connected" || phase === "OpenSent";
}

/** The connection, of two that both delivered their OPEN, that RFC 4271 6.8 keeps. */
export function collisionWinner(a: Slot, b: Slot, local: LocalSpeaker): Slot {
  if (a.direction === b.direction) return a.id > b.id ? a : b;
  const [outgoing, incoming] = a.direction === "outgoing" ? [a, b] : [b, a];
  // Both connections are to one speaker: whichever OPEN came first tells its identifier.
  const known = outgoing.remoteRouterId !== 0 ? outgoing : incoming;
  const ours = local.localRouterId;
  const theirs = known.remoteRouterId;
  // RFC 6286 2.3: equal identifiers are decided by AS number.
  const weAreHigher = ours === theirs ? local.localAsn > known.remoteAsn : ours > theirs;
  return weAreHigher ? outgoing : incoming;
}
