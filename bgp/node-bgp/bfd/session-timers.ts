/**
 * The timers of a BFD session (RFC 5880 6.8.3, 6.8.4, 6.8.7): how often packets go, how long silence may last, and the Poll Sequence by which
 * both sides know it. One that would make the neighbor's expectation wrong (we send less often, we expect more) takes effect only when a Poll
 * Sequence has shown that the neighbor knows.
 */

import { SessionState } from "./constants.ts";
import type { Session, SessionConfig, SessionInput } from "./session.ts";

/** 6.8.4: how long silence may last. 0 before anything has been heard. */
export function detectionTime({ remote, usedMinRx }: Session): number {
  return remote.multiplier * Math.max(usedMinRx, remote.desiredMinTx);
}

/** 6.8.4 as the neighbor computes it from what we send: after so long it has given us up. */
export function neighborDetectionTime({ config, remote, desiredMinTx, usedMinTx }: Session): number {
  return config.multiplier * Math.max(desiredMinTx, usedMinTx, remote.minRx);
}

/** When the round trip is to be measured next. */
export function measureTime({ pollInterval }: SessionConfig, now: number): number {
  return pollInterval === 0 ? Number.POSITIVE_INFINITY : now + pollInterval;
}

/** 6.8.3: other timers, and the Poll Sequence that tells the neighbor, where there is one to answer. */
export function announce(session: Session, desiredMinTx: number, requiredMinRx: number): Session {
  if (desiredMinTx === session.desiredMinTx && requiredMinRx === session.requiredMinRx) return session;
  const { usedMinTx, usedMinRx, remote } = session;
  const isUp = session.state === SessionState.up;
  const begins = session.poll === "idle" && remote.discriminator !== 0;
  return {
    ...session,
    desiredMinTx,
    requiredMinRx,
    usedMinTx: isUp && desiredMinTx > usedMinTx ? usedMinTx : desiredMinTx,
    usedMinRx: isUp && requiredMinRx < usedMinRx ? usedMinRx : requiredMinRx,
    poll: begins ? "active" : session.poll === "active" && session.pollsSent > 0 ? "again" : session.poll,
    pollsSent: begins ? 0 : session.pollsSent,
  };
}

/** The neighbor has answered a Poll: it knows our timers, and how long the way there and back is. */
export function endPoll(session: Session, { now }: SessionInput): Session {
  // A Final that nobody has asked for.
  if (session.poll === "idle" || session.pollsSent === 0) return session;
  // With two polls out nobody can say which one was answered (the ambiguity Karn's algorithm avoids in TCP).
  const roundTrip = session.pollsSent === 1 ? Math.max(1, now - session.polledAt) : 0;
  const smoothed = session.smoothedRoundTrip;
  const measured: Session =
    roundTrip === 0
      ? session
      : {
          ...session,
          roundTrip,
          smoothedRoundTrip: smoothed === 0 ? roundTrip : smoothed + (roundTrip - smoothed) / 8,
        };
  if (session.poll === "again") return { ...measured, poll: "active", pollsSent: 0 };
  const { desiredMinTx, requiredMinRx } = session;
  return { ...measured, poll: "idle", pollsSent: 0, usedMinTx: desiredMinTx, usedMinRx: requiredMinRx };
}

/** 6.8.7: between our packets, before jitter. */
export function transmitInterval({ state, poll, remote, usedMinTx }: Session): number {
  if (remote.minRx === 0) return Number.POSITIVE_INFINITY;
  const isWatchedOnDemand = remote.demand && state === SessionState.up && remote.state === SessionState.up;
  if (isWatchedOnDemand && poll === "idle") return Number.POSITIVE_INFINITY;
  return Math.max(usedMinTx, remote.minRx);
}

/** Keeps `transmitAt` true to the interval, which any event may have changed; counted from the last packet (6.8.3). */
export function reschedule(session: Session, input: SessionInput): Session {
  const interval = transmitInterval(session);
  if (interval === session.interval) return session;
  const { sentAt } = session;
  return {
    ...session,
    interval,
    transmitAt: Math.max(input.now, sentAt + jittered(interval, session, input)),
  };
}

/** 6.8.7: 75 to 100 % of the interval; with a multiplier of 1 at most 90 %, or the neighbor would be on the edge each time. */
export function jittered(interval: number, { config }: Session, { random }: SessionInput): number {
  const spread = config.multiplier === 1 ? 0.15 : 0.25;
  return interval * (0.75 + spread * random);
}
