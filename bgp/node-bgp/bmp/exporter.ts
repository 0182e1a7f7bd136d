/**
 * BMP (RFC 7854): a speaker's sessions and what they receive, told to collectors.
 *
 *     const bmp = new BmpExporter(speaker, { collectors: [{ address: "192.0.2.9", port: 1790 }] });
 *     ...
 *     bmp.close();
 *
 * What happens is encoded once per view (before policy, after it, or both) and written once per turn of the event loop to every collector that wants this
 * view. A collector that comes is first told of the sessions there are and what they have sent, as fast as it reads; what
 * happens meanwhile is sent in between, and always later than the state it changes.
 *
 * The view before policy of a session that was there first is what the neighbor sends when asked again (ROUTE-REFRESH), where its policy
 * may have changed or refused something; else it is the table.
 */

import { type Clock, systemClock, type TimerHandle } from "../clock.ts";
import { MessageError } from "../errors.ts";
import { afiSafiOf } from "../message/constants.ts";
import { decodeUpdate } from "../message/update.ts";
import { Writer } from "../message/writer.ts";
import type { ConnectionEnd } from "../session/connection-fsm.ts";
import type { MonitoredSession, SessionMonitor } from "../session/monitor.ts";
import { tcpTransport } from "../transport/tcp.ts";
import { Collector, type CollectorStatus } from "./collector.ts";
import { dumpRoutes, hidesNothing, writeMessages } from "./dump.ts";
import {
  type BmpPeer,
  encodeInitiation,
  encodeTermination,
  type PeerDownReason,
  PeerFlag,
  type PeerStatistics,
  TerminationReason,
  writePeerDown,
  writePeerUp,
  writeRouteMonitoring,
  writeStatistics,
} from "./message.ts";
import {
  type BmpCollectorOptions,
  type BmpOptions,
  type BmpView,
  checkBmpOptions,
  DEFAULT_MAX_QUEUE,
  DEFAULT_RETRY,
} from "./options.ts";
import { postPolicyUpdates } from "./post-policy.ts";

/** The part of a {@link Speaker} that is needed. */
export interface Monitored {
  monitor(monitor: SessionMonitor): () => void;
}

/** A collector, and what it has still to be told of the state it found. */
interface Feed {
  readonly collector: Collector;
  readonly view: BmpView;
  /** One after the other; a step each time there is room. */
  readonly dumps: Dump[];
}

interface Dump {
  readonly session: MonitoredSession;
  readonly steps: Iterator<Uint8Array>;
}

/** Written in between turns too when so much has come together. */
const BATCH_BYTES = 1 << 18;
/** A dump goes on while less than this waits for the collector. */
const DUMP_QUEUE = 1 << 18;
/** Of RFC 4271 8.1.2. */
const MANUAL_STOP = 2;
const NOTHING = new Uint8Array(0);

export class BmpExporter {
  readonly #options: BmpOptions;
  readonly #clock: Clock;
  readonly #feeds: readonly Feed[];
  /** What is to be written at the end of the turn, by view; only of the views that somebody wants. */
  readonly #batches = new Map<BmpView, Writer>();
  readonly #sessions = new Map<MonitoredSession, BmpPeer>();
  readonly #unsubscribe: () => void;
  #isScheduled = false;
  #isPumping = false;
  #statisticsTimer: TimerHandle;

  /** Throws {@link OptionError}. */
  constructor(speaker: Monitored, options: BmpOptions) {
    checkBmpOptions(options);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#feeds = options.collectors.map(collector => this.#feed(collector));
    for (const { view } of this.#feeds) this.#batches.set(view, new Writer());
    this.#unsubscribe = speaker.monitor({
      up: session => this.#onUp(session),
      down: (session, end) => this.#onDown(session, end),
      update: (session, bytes, start, end) => this.#onUpdate(session, bytes, start, end),
    });
    for (const { collector } of this.#feeds) collector.dial();
    this.#armStatistics();
  }

  /** Says goodbye (Termination) and closes the connections. */
  close(): void {
    this.#unsubscribe();
    this.#clock.clearTimeout(this.#statisticsTimer);
    this.#flush();
    const farewell = encodeTermination(TerminationReason.administrativelyClosed);
    for (const { collector, dumps } of this.#feeds) {
      dumps.length = 0;
      collector.close(farewell);
    }
  }

  /** JSON-safe. */
  collectors(): CollectorStatus[] {
    return this.#feeds.map(({ collector }) => collector.status());
  }

  #feed({ address, port, view = "pre-policy", localAddress, password }: BmpCollectorOptions): Feed {
    const {
      retry = DEFAULT_RETRY,
      maxQueueBytes = DEFAULT_MAX_QUEUE,
      random = Math.random,
      transport = tcpTransport,
    } = this.#options;
    const collector: Collector = new Collector({
      address,
      port,
      localAddress,
      password,
      retry,
      maxQueueBytes,
      random,
      transport,
      clock: this.#clock,
      onUp: () => this.#onCollector(feed),
      onDown: () => {
        feed.dumps.length = 0;
      },
      onDrain: () => this.#pump(),
    });
    const feed: Feed = { collector, view, dumps: [] };
    return feed;
  }

  // --- what happens

  #onUp(session: MonitoredSession): void {
    const { address, asn, negotiated } = session;
    const { remoteRouterId: routerId, fourOctetAs } = negotiated;
    const peer = { address, asn, routerId, fourOctetAs };
    this.#sessions.set(session, peer);
    for (const writer of this.#batches.values()) writeUp(writer, session, peer);
    this.#schedule();
  }

  #onDown(session: MonitoredSession, end: ConnectionEnd): void {
    const peer = this.#sessions.get(session)!;
    this.#sessions.delete(session);
    for (const { dumps } of this.#feeds) {
      const left = dumps.filter(dump => dump.session !== session);
      dumps.splice(0, dumps.length, ...left);
    }
    for (const writer of this.#batches.values())
      writePeerDown(writer, peer, this.#clock.now(), downReason(end));
    this.#schedule();
  }

  #onUpdate(session: MonitoredSession, bytes: Uint8Array, start: number, end: number): void {
    const peer = this.#sessions.get(session)!;
    const now = this.#clock.now();
    let behindPolicy: Uint8Array | undefined;
    let isJudged = false;
    let length = 0;
    for (const [view, writer] of this.#batches) {
      if (view !== "post-policy") writeRouteMonitoring(writer, peer, now, 0, bytes, start, end);
      if (view !== "pre-policy") {
        if (!isJudged) behindPolicy = postPolicy(session, bytes.subarray(start, end));
        isJudged = true;
        const flags = PeerFlag.postPolicy;
        if (behindPolicy === undefined) writeRouteMonitoring(writer, peer, now, flags, bytes, start, end);
        else writeMessages(writer, peer, now, flags, behindPolicy);
      }
      length = Math.max(length, writer.length);
    }
    if (length >= BATCH_BYTES) this.#flush();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    for (const [view, writer] of this.#batches) {
      if (writer.length === 0) continue;
      const hasReader = this.#feeds.some(feed => feed.view === view && feed.collector.isUp);
      if (!hasReader) {
        writer.reset();
        continue;
      }
      // The sockets keep it as long as they need it.
      const bytes = writer.take();
      for (const feed of this.#feeds) if (feed.view === view) feed.collector.send(bytes);
    }
  }

  #armStatistics(): void {
    const { statisticsInterval = 0 } = this.#options;
    if (statisticsInterval === 0) return;
    this.#statisticsTimer = this.#clock.setTimeout(() => {
      for (const [session, peer] of this.#sessions) {
        for (const writer of this.#batches.values())
          writeStatistics(writer, peer, this.#clock.now(), statisticsOf(session));
      }
      this.#schedule();
      this.#armStatistics();
    }, statisticsInterval * 1000);
  }

  // --- what was there before the collector

  #onCollector({ collector, view, dumps }: Feed): void {
    // What has come together so far is for those who know what it is about.
    this.#flush();
    const { systemName = "", systemDescription = "node-bgp" } = this.#options;
    collector.send(encodeInitiation({ name: systemName, description: systemDescription }));
    const ups = new Writer();
    for (const [session, peer] of this.#sessions) writeUp(ups, session, peer);
    if (ups.length > 0) collector.send(ups.take());
    for (const [session, peer] of this.#sessions) {
      const needsAsking = !hidesNothing(session);
      for (const family of session.negotiated.families) {
        const dump = (flags: number) => dumpRoutes(session, peer, family, flags, () => this.#clock.now());
        if (view !== "post-policy" && !needsAsking) dumps.push({ session, steps: dump(0) });
        if (view !== "pre-policy") dumps.push({ session, steps: dump(PeerFlag.postPolicy) });
      }
      if (view !== "post-policy" && needsAsking) session.requestRefresh();
    }
    this.#pump();
  }

  /** One step for every collector that has room; goes on in later turns. */
  #pump(): void {
    if (this.#isPumping) return;
    let more = false;
    for (const { collector, dumps } of this.#feeds) {
      const dump = dumps[0];
      if (dump === undefined || !collector.isUp || collector.queued >= DUMP_QUEUE) continue;
      // A state must not be told before the changes that led to it.
      this.#flush();
      const { value, done } = dump.steps.next();
      if (done) dumps.shift();
      else if (value.length > 0) collector.send(value);
      more ||= dumps.length > 0;
    }
    if (!more) return;
    this.#isPumping = true;
    this.#clock.setImmediate(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }
}

function writeUp(writer: Writer, session: MonitoredSession, peer: BmpPeer): void {
  const { localAddress, localPort, remotePort, since, opens } = session;
  const { sent: sentOpen, received: receivedOpen } = opens;
  writePeerUp(writer, peer, since, { localAddress, localPort, remotePort, sentOpen, receivedOpen });
}

/** Undefined where the UPDATE stands as it came. */
function postPolicy(session: MonitoredSession, body: Uint8Array): Uint8Array | undefined {
  const { negotiated } = session;
  try {
    return postPolicyUpdates(decodeUpdate(body, negotiated), session.importContext(), negotiated);
  } catch (error) {
    // It has been applied, so this cannot be; but whoever watches must never be the end of a session.
    if (error instanceof MessageError) return NOTHING;
    throw error;
  }
}

function downReason({ reason, notification }: ConnectionEnd): PeerDownReason {
  if ((reason === "notification-sent" || reason === "notification-received") && notification !== undefined)
    return { reason, notification };
  if (notification !== undefined) return { reason: "notification-sent", notification };
  if (reason === "lost" || reason === "notification-received") return { reason: "remote" };
  return { reason: "local", event: reason === "stopped" ? MANUAL_STOP : 0 };
}

function statisticsOf(session: MonitoredSession): PeerStatistics {
  const { prefixes, problems } = session.status();
  return {
    adjRibIn: prefixes.received,
    families: session.negotiated.families.map(family => ({
      ...afiSafiOf(family),
      routes: prefixes.byFamily[family].received,
    })),
    updatesTreatedAsWithdraw: problems.withdraw,
  };
}
