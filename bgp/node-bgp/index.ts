/** node-bgp: BGP-4 for Node.js. See README.md. */

export { type Clock, systemClock, type TimerHandle } from "./clock.ts";
export { BgpError, type BgpErrorCode, MessageError, OptionError } from "./errors.ts";
export type { Capability } from "./message/capabilities.ts";
export type * from "./neighbor.ts";
export * from "./route.ts";
export { BgpSpeaker } from "./speaker.ts";
export type * from "./speaker-options.ts";
export type * from "./transport/transport.ts";
