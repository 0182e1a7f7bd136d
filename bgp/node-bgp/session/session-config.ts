/** Our side of the next session with a neighbor: what is configured, and what the speaker's own restart adds to it. */

import type { LocalGracefulRestart, SessionConfig } from "./negotiation.ts";
import type { NeighborConfig } from "./neighbor-config.ts";
import type { PeerEnvironment } from "./peer-environment.ts";

type Speaker = Pick<PeerEnvironment, "routerId" | "forwardingPreserved" | "restarting" | "met">;

export function sessionConfig(config: NeighborConfig, speaker: Speaker): SessionConfig {
  const { localAsn, asn, holdTime, keepaliveTime, sendHoldTime, delayOpenTime, families } = config;
  return {
    localAsn,
    asn,
    routerId: speaker.routerId,
    holdTime,
    keepaliveTime,
    sendHoldTime,
    delayOpenTime,
    families,
    gracefulRestart: gracefulRestart(config, speaker),
    addPath: { receive: config.addPath.receive, send: config.addPath.send !== 1 },
    extendedMessages: config.extendedMessages,
    extendedNextHop: config.extendedNextHop,
    enhancedRefresh: config.enhancedRefresh,
  };
}

function gracefulRestart(
  { address, gracefulRestartTime, longLivedStaleTime, notificationRestart }: NeighborConfig,
  { forwardingPreserved, restarting, met }: Speaker,
): LocalGracefulRestart | undefined {
  if (gracefulRestartTime === 0) return undefined;
  return {
    restartTime: gracefulRestartTime,
    restarting: restarting && !met.has(address),
    forwardingPreserved,
    notification: notificationRestart,
    longLivedStaleTime,
  };
}
