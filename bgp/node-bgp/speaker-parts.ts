/**
 * What a speaker is made of, wired together: transport/ (where it listens), session/ (who is up), rib/ (what is best, who is told), and who
 * wants to hear of it.
 */

import { Bfd } from "./bfd/bfd.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { NeighborEvent } from "./neighbor.ts";
import { NeighborTable } from "./neighbor-table.ts";
import { RoutingTable } from "./rib/routing-table.ts";
import type { RouteChange } from "./route.ts";
import type { SessionMonitor } from "./session/monitor.ts";
import { DEFAULT_PORT, multipathSettings } from "./session/neighbor-config.ts";
import type { PeerEnvironment } from "./session/peer-environment.ts";
import { SelectionDeferral } from "./session/selection-deferral.ts";
import type { SpeakerOptions } from "./speaker-options.ts";
import { type ListenAddresses, Listening } from "./transport/listening.ts";
import { tcpTransport } from "./transport/tcp.ts";
import type { Transport } from "./transport/transport.ts";
import { TurnBudget } from "./turn-budget.ts";
import { passwordRoomText, type SpeakerWarning } from "./warning.ts";

/** With what the RIB takes in the same turn, below the 10 ms that keepalives can wait for. */
const READING_MS_PER_TURN = 3;
const DEFAULT_ESTABLISH_WAIT = 5;
const DEFAULT_RESYNC_TIME = 360;
const DEFAULT_DEFERRAL_TIME = 30;

export class SpeakerParts {
  /** Where it listens changes with `reconfigure`. */
  options: SpeakerOptions;
  clusterId: string;
  readonly clock: Clock;
  readonly table: RoutingTable;
  readonly listening: Listening;
  readonly neighbors: NeighborTable;
  readonly routeListeners = new Set<(changes: readonly RouteChange[]) => void>();
  readonly neighborListeners = new Set<(event: NeighborEvent) => void>();
  readonly warningListeners = new Set<(warning: SpeakerWarning) => void>();
  readonly monitors = new Set<SessionMonitor>();
  /** Resolves once route selection is no longer deferred. */
  readonly ready: Promise<void>;
  readonly #resolveReady: () => void;
  readonly #reading: TurnBudget;
  #deferral: SelectionDeferral | undefined;
  #bfd: Bfd | undefined;

  /** The options have been checked. */
  constructor(options: SpeakerOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.clusterId = options.clusterId ?? options.routerId;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#resolveReady = resolve;
    this.#reading = new TurnBudget(this.clock, READING_MS_PER_TURN);
    this.table = new RoutingTable({
      clock: this.clock,
      deferred: this.isRestart,
      multipath: multipathSettings(options),
      hasListeners: () => this.routeListeners.size > 0,
      isReading: () => this.#reading.hasMore,
      onChanges: changes => {
        for (const listener of this.routeListeners) listener(changes);
      },
    });
    const transport = options.transport ?? tcpTransport;
    this.listening = new Listening(transport, this.clock, {
      onConnection: connection => this.neighbors.accept(connection),
      onPending: (address, { message }) => this.#warn({ code: "ListenPending", address, text: message }),
      onPasswordRoom: room => this.#warn({ code: "PasswordRoom", ...room, text: passwordRoomText(room) }),
    });
    this.neighbors = new NeighborTable({
      environment: this.#createEnvironment(transport),
      listening: this.listening,
      speakerOptions: () => this.options,
      onEvent: event => this.#tellNeighbor(event),
    });
  }

  get isRestart(): boolean {
    const { gracefulRestart } = this.options;
    return gracefulRestart !== false && gracefulRestart?.restarting === true;
  }

  /** While route selection waits for neighbors after a restart. */
  get deferral(): SelectionDeferral | undefined {
    return this.#deferral;
  }

  /** Where a neighbor has needed one, and no other was given. */
  get ownBfd(): Bfd | undefined {
    return this.#bfd;
  }

  /** Listens there, and nowhere else. */
  listen(setting: SpeakerOptions["listen"]): Promise<void> {
    return this.listening.change(listenAddresses(setting));
  }

  startDeferral(): void {
    if (!this.isRestart) {
      this.#resolveReady();
      return;
    }
    const { establishWait = DEFAULT_ESTABLISH_WAIT, deferralTime = DEFAULT_DEFERRAL_TIME } =
      this.options.gracefulRestart || {};
    const onDone = () => {
      this.#deferral = undefined;
      this.table.resume(() => this.#resolveReady());
    };
    this.#deferral = new SelectionDeferral({ clock: this.clock, establishWait, deferralTime, onDone });
  }

  #createEnvironment(transport: Transport): PeerEnvironment {
    const { random = Math.random, routerId, gracefulRestart } = this.options;
    const { forwardingPreserved = true, resyncTime = DEFAULT_RESYNC_TIME } = gracefulRestart || {};
    const clusterId = () => this.clusterId;
    return {
      clock: this.clock,
      random,
      transport,
      reading: this.#reading,
      table: this.table,
      bfd: () => this.options.bfd ?? this.#neededBfd(),
      routerId,
      get clusterId() {
        return clusterId();
      },
      forwardingPreserved,
      resyncTime,
      restarting: this.isRestart,
      met: new Set(),
      deferral: () => this.#deferral,
      monitors: this.monitors,
      onNeighbor: event => this.#tellNeighbor(event),
      onWarning: warning => this.#warn(warning),
    };
  }

  #neededBfd(): Bfd {
    if (this.#bfd !== undefined) return this.#bfd;
    this.#bfd = new Bfd();
    this.#bfd.onFailure(error => this.#warn({ code: "BfdFailed", text: error.message }));
    return this.#bfd;
  }

  #tellNeighbor(event: NeighborEvent): void {
    this.neighbors.noteState(event);
    for (const listener of this.neighborListeners) listener(event);
  }

  #warn(warning: SpeakerWarning): void {
    for (const listener of this.warningListeners) listener(warning);
  }
}

function listenAddresses(listen: SpeakerOptions["listen"]): ListenAddresses | undefined {
  if (listen === false) return undefined;
  const { port = DEFAULT_PORT, addresses, interface: name } = listen ?? {};
  return { port, addresses, interface: name };
}
