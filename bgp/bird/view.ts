/** A daemon of ours, of either mode, as what BIRD would know. */

import { type BgpSource, neighborAnswers, pathsTo } from "../queries.ts";
import type { BirdView } from "./commands.ts";

export function birdView(source: BgpSource, version: string, ipVersion: 4 | 6): BirdView {
  const { speaker } = source;
  return {
    version,
    ipVersion,
    now: Date.now(),
    startedAt: source.startedAt,
    configuredAt: source.configuredAt,
    routerId: source.routerId ?? "0.0.0.0",
    neighbors: neighborAnswers(source),
    routes: () => speaker?.routes(ipVersion === 4 ? "ipv4-unicast" : "ipv6-unicast") ?? [],
    paths: target => (speaker === undefined ? [] : pathsTo(speaker, target)),
  };
}
