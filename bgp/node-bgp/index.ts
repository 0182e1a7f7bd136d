/** node-bgp: BGP-4 for Node.js. See README.md. */

export { canonicalAddress, formatPrefix, type Prefix, parsePrefix } from "./address.ts";
export { Bfd, type BfdOptions } from "./bfd/bfd.ts";
export type { BfdEvent, BfdService, BfdSession, BfdSessionStatus, BfdStatus } from "./bfd/bfd-service.ts";
export type { BfdSessionOptions, BfdTimerOptions } from "./bfd/session-options.ts";
export type { CollectorState, CollectorStatus } from "./bmp/collector.ts";
export { BmpExporter, type Monitored } from "./bmp/exporter.ts";
export type { BmpCollectorOptions, BmpOptions, BmpView } from "./bmp/options.ts";
export {
  checkBmpOptions,
  checkDynamicNeighborsOptions,
  checkLocalRoute,
  checkNeighborOptions,
  checkSpeakerOptions,
} from "./check-options.ts";
export { type Clock, systemClock, type TimerHandle } from "./clock.ts";
export {
  BgpError,
  type BgpErrorCode,
  type BgpErrorDetail,
  type BgpErrorOf,
  MessageError,
  OptionError,
} from "./errors.ts";
export type { UpdateProblem } from "./message/attribute-decoder.ts";
export type { Capability } from "./message/capabilities.ts";
export { Cease, MessageType, NotificationCode } from "./message/constants.ts";
export { Framer, frame } from "./message/framing.ts";
export { Nlri } from "./message/nlri.ts";
export {
  decodeNotification,
  describeNotification,
  encodeNotification,
  type NotificationMessage,
  shutdownText,
} from "./message/notification.ts";
export { decodeOpen, encodeOpen, type OpenMessage } from "./message/open.ts";
export { decodeRouteRefresh, encodeRouteRefresh, type RouteRefreshMessage } from "./message/route-refresh.ts";
export { type Announcement, decodeUpdate, encodeUpdate, type Update } from "./message/update.ts";
export { mrtUpdate } from "./mrt/bgp4mp.ts";
export { type ByteSource, MrtParser, readMrt, readMrtFile } from "./mrt/reader.ts";
export type {
  MrtBadRecord,
  MrtMessage,
  MrtPeer,
  MrtPeerTable,
  MrtRecord,
  MrtRib,
  MrtRibEntry,
  MrtStateChange,
  MrtUnsupportedRecord,
} from "./mrt/record.ts";
export {
  encodeMrtMessage,
  encodeMrtPeers,
  encodeMrtRib,
  encodeMrtStateChange,
  encodeTableDump,
  type TableDump,
} from "./mrt/writer.ts";
export type * from "./neighbor.ts";
export type { NeighborEventsOptions } from "./neighbor-events.ts";
export { compileAsPathPattern } from "./policy/as-path-pattern.ts";
export { isCommunity, WELL_KNOWN_COMMUNITIES } from "./policy/community.ts";
export {
  type CompiledPolicy,
  compilePolicy,
  type PolicyExplanation,
  type PolicyOptions,
} from "./policy/compile.ts";
export type { Condition, CustomCondition } from "./policy/conditions.ts";
export { acceptAll, rejectAll } from "./policy/constant.ts";
export type { CustomChange } from "./policy/edits.ts";
export * from "./policy/policy.ts";
export type { PrefixTest } from "./policy/prefix-list.ts";
export type { PullQueue } from "./pull-queue.ts";
export * from "./route.ts";
export type { RouteChangesOptions } from "./route-changes.ts";
export type { MonitoredSession, SessionMonitor } from "./session/monitor.ts";
export { Speaker } from "./speaker.ts";
export type * from "./speaker-options.ts";
export type * from "./transport/transport.ts";
export type {
  DynamicAsnWarning,
  DynamicLimitWarning,
  ListenPendingWarning,
  MalformedUpdateWarning,
  MaxPrefixesWarning,
  PasswordRoomWarning,
  SpeakerWarning,
  SpeakerWarningCode,
} from "./warning.ts";
