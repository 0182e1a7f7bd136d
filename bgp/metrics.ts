/**
 * The BGP daemon's metrics for Prometheus, read from the speaker when somebody asks: between two scrapes they cost nothing but a timer.
 * Loaded with the first scrape, because prom-client takes 10 MB that a reflector nobody scrapes should not need.
 *
 * A series per configured peer; dynamic peers are counted together under the prefix they came from (`peer="dynamic 10.0.0.0/16"`), so that
 * who dials in does not decide how many series there are. docs/bgp-standalone.md lists them.
 */

import { monitorEventLoopDelay } from "node:perf_hooks";
import type { NeighborState } from "node-bgp";
import { Counter, Gauge, Registry } from "prom-client";
import type { BgpSource, NeighborAnswer } from "./queries.ts";

export interface MeteredDaemon extends Pick<BgpSource, "speaker"> {
  neighbors(): readonly NeighborAnswer[];
  /** Routes of ours in the kernel; undefined where none are installed. */
  readonly kernelRoutes?: number | undefined;
}

/** As RFC 4273 numbers them. */
const STATES: Readonly<Record<NeighborState, number>> = {
  Idle: 1,
  Connect: 2,
  Active: 3,
  OpenSent: 4,
  OpenConfirm: 5,
  Established: 6,
};

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter";
  readonly labels: readonly string[];
  /** Of one neighbor. */
  readonly of: (neighbor: NeighborAnswer, now: number) => Iterable<Sample>;
  /** How several dynamic neighbors become one: their sum, unless it says otherwise. */
  readonly together?: "max";
}

const one = (value: number): Sample[] => [[{}, value]];

function* perFamily(
  { prefixes: { byFamily } }: NeighborAnswer,
  field: "received" | "stale" | "advertised",
): Generator<Sample> {
  for (const [family, counters] of Object.entries(byFamily)) yield [{ family }, counters[field]];
}

const PEER_METRICS: readonly Metric[] = [
  {
    name: "calyx_bgp_peer_state",
    help: "State of the session: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established.",
    type: "gauge",
    labels: [],
    of: ({ state }) => one(STATES[state]),
    together: "max",
  },
  {
    name: "calyx_bgp_peer_up",
    help: "1 where the session is Established; of dynamic peers how many are.",
    type: "gauge",
    labels: [],
    of: ({ state }) => one(state === "Established" ? 1 : 0),
  },
  {
    name: "calyx_bgp_peer_state_seconds",
    help: "Seconds in this state.",
    type: "gauge",
    labels: [],
    of: ({ since }, now) => one((now - since) / 1000),
    together: "max",
  },
  {
    name: "calyx_bgp_peer_sessions_total",
    help: "Sessions that have been Established.",
    type: "counter",
    labels: [],
    of: ({ established }) => one(established),
  },
  {
    name: "calyx_bgp_peer_flaps_total",
    help: "Sessions that were Established and ended.",
    type: "counter",
    labels: [],
    of: ({ flaps }) => one(flaps),
  },
  {
    name: "calyx_bgp_peer_prefixes_received",
    help: "Prefixes of this peer that the import policy has let through.",
    type: "gauge",
    labels: ["family"],
    of: neighbor => perFamily(neighbor, "received"),
  },
  {
    name: "calyx_bgp_peer_prefixes_stale",
    help: "Of these, kept for a peer that is restarting.",
    type: "gauge",
    labels: ["family"],
    of: neighbor => perFamily(neighbor, "stale"),
  },
  {
    name: "calyx_bgp_peer_prefixes_advertised",
    help: "Prefixes announced to this peer.",
    type: "gauge",
    labels: ["family"],
    of: neighbor => perFamily(neighbor, "advertised"),
  },
  {
    name: "calyx_bgp_peer_messages_total",
    help: "BGP messages, by type and direction.",
    type: "counter",
    labels: ["direction", "type"],
    *of({ sent, received }) {
      for (const [direction, counters] of [
        ["sent", sent],
        ["received", received],
      ] as const)
        for (const [type, count] of Object.entries(counters)) yield [{ direction, type }, count];
    },
  },
  {
    name: "calyx_bgp_peer_update_rate",
    help: "UPDATEs per second over the last 10 seconds.",
    type: "gauge",
    labels: ["direction"],
    *of({ updateRate }) {
      yield [{ direction: "sent" }, updateRate.sent];
      yield [{ direction: "received" }, updateRate.received];
    },
  },
  {
    name: "calyx_bgp_peer_malformed_total",
    help: "UPDATEs or attributes that were wrong, by what was done about them (RFC 7606).",
    type: "counter",
    labels: ["treatment"],
    *of({ problems }) {
      for (const [treatment, count] of Object.entries(problems)) yield [{ treatment }, count];
    },
  },
  {
    name: "calyx_bgp_peer_send_queue_bytes",
    help: "Bytes that wait for the peer to read.",
    type: "gauge",
    labels: [],
    of: ({ sendQueue }) => one(sendQueue),
  },
  {
    name: "calyx_bgp_peer_bfd_up",
    help: "1 where BFD is Up; absent without BFD.",
    type: "gauge",
    labels: [],
    of: ({ bfd }) => (bfd === undefined ? [] : one(bfd.state === "Up" ? 1 : 0)),
  },
  {
    name: "calyx_bgp_peer_bfd_rtt_seconds",
    help: "Round trip of BFD packets, smoothed.",
    type: "gauge",
    labels: [],
    of: ({ bfd }) => (bfd?.roundTrip === undefined ? [] : one(bfd.roundTrip.smoothed / 1000)),
    together: "max",
  },
];

export class BgpMetrics {
  readonly registry = new Registry();
  readonly #daemon: MeteredDaemon;
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });

  constructor(daemon: MeteredDaemon) {
    this.#daemon = daemon;
    this.#delay.enable();
    for (const metric of PEER_METRICS) this.#perPeer(metric);
    this.#gauge("calyx_bgp_rib_prefixes", "Prefixes in the table.", ["family"], function* () {
      const byFamily = daemon.speaker?.statistics().byFamily;
      for (const [family, { prefixes }] of Object.entries(byFamily ?? {})) yield [{ family }, prefixes];
    });
    this.#gauge("calyx_bgp_rib_attribute_sets", "Different sets of path attributes.", [], () =>
      one(daemon.speaker?.statistics().attributeSets ?? 0),
    );
    this.#gauge(
      "calyx_bgp_dynamic_peers",
      "Dynamic peers that are there, by their prefix.",
      ["prefix"],
      function* () {
        for (const { prefix, neighbors } of daemon.speaker?.dynamicNeighbors() ?? [])
          yield [{ prefix }, neighbors.length];
      },
    );
    this.#gauge(
      "calyx_bgp_kernel_routes",
      "Routes of ours in the kernel; 0 where none are installed.",
      [],
      () => one(daemon.kernelRoutes ?? 0),
    );
    this.#gauge(
      "calyx_bgp_event_loop_delay_seconds",
      "How late the event loop was since the last scrape.",
      ["quantile"],
      () => this.#takeDelays(),
    );
  }

  metrics(): Promise<string> {
    return this.registry.metrics();
  }

  close(): void {
    this.#delay.disable();
  }

  #takeDelays(): Sample[] {
    // The timer itself runs every 10 ms: that much is no delay.
    const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - 0.01);
    const delays = [0.5, 0.99].map(
      (part): Sample => [{ quantile: String(part) }, seconds(this.#delay.percentile(part * 100))],
    );
    delays.push([{ quantile: "1" }, seconds(this.#delay.max)]);
    this.#delay.reset();
    return delays;
  }

  #gauge(name: string, help: string, labels: readonly string[], collect: () => Iterable<Sample>): void {
    this.#register("gauge", name, help, labels, collect);
  }

  /** What is kept elsewhere is read at each scrape; a counter's reset in between is nobody's to see. */
  #register(
    type: Metric["type"],
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: () => Iterable<Sample>,
  ): void {
    const common = { name, help, labelNames: [...labelNames], registers: [this.registry] };
    if (type === "gauge")
      new Gauge({
        ...common,
        collect() {
          this.reset();
          for (const [labels, value] of collect()) this.set(labels, value);
        },
      });
    else
      new Counter({
        ...common,
        collect() {
          this.reset();
          for (const [labels, value] of collect()) this.inc(labels, value);
        },
      });
  }

  #perPeer({ name, help, type, labels, of, together }: Metric): void {
    const daemon = this.#daemon;
    this.#register(type, name, help, ["peer", "name", ...labels], function* () {
      const shared = new Map<string, Sample>();
      const now = Date.now();
      for (const neighbor of daemon.neighbors()) {
        const peer =
          neighbor.dynamic === undefined
            ? { peer: neighbor.address, name: neighbor.name ?? "" }
            : { peer: `dynamic ${neighbor.dynamic}`, name: "" };
        for (const [own, value] of of(neighbor, now)) {
          const labels = { ...peer, ...own };
          if (neighbor.dynamic === undefined) {
            yield [labels, value];
            continue;
          }
          const key = JSON.stringify(labels);
          const before = shared.get(key)?.[1];
          const both =
            before === undefined ? value : together === "max" ? Math.max(before, value) : before + value;
          shared.set(key, [labels, both]);
        }
      }
      yield* shared.values();
    });
  }
}
