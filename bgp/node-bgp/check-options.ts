/** Settings judged without a speaker, for whoever has to say what is wrong with a configuration before it is in force. */

import { dynamicSetting } from "./dynamic-neighbors.ts";
import { localAttributes, localPrefix } from "./local-route.ts";
import type { DynamicNeighborsOptions, NeighborOptions } from "./neighbor.ts";
import type { LocalRoute } from "./route.ts";
import { neighborConfig } from "./session/neighbor-config.ts";
import type { SpeakerOptions } from "./speaker-options.ts";

export { checkBmpOptions } from "./bmp/options.ts";
export { checkSpeakerOptions } from "./session/neighbor-config.ts";

/** Throws {@link OptionError} where `addNeighbor` would on a speaker with these options. */
export function checkNeighborOptions(options: NeighborOptions, speaker: SpeakerOptions): void {
  neighborConfig(options, speaker);
}

/** Throws {@link OptionError} where `addDynamicNeighbors` would on a speaker with these options. */
export function checkDynamicNeighborsOptions(
  options: DynamicNeighborsOptions,
  speaker: SpeakerOptions,
): void {
  dynamicSetting(options, speaker);
}

/** Throws {@link OptionError} where `announce` would. */
export function checkLocalRoute(route: LocalRoute): void {
  localPrefix(route.prefix);
  localAttributes(route);
}
