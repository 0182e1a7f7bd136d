/**
 * The speaker over the changes of who this node is (identity.ts): started, told of what may change while it runs, started anew
 * where it becomes another, and tried again where it could not start.
 */

import { Speaker, type SpeakerOptions, type StopOptions } from "node-bgp";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Identity } from "./identity.ts";

/** When the speaker could not start: the port or the address may be free or there later. */
const START_RETRY_MS = 5000;

export interface SpeakerLifecycleOptions {
  readonly nodeName: string;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Default: one on TCP sockets. */
  readonly createSpeaker?: ((options: SpeakerOptions) => Speaker) | undefined;
  /** There is a speaker, about to start. What is ours must be known before the first neighbor asks, or a restart would look like a withdrawal. */
  readonly onCreated: (speaker: Speaker) => void;
  /** It no longer defers route selection. */
  readonly onReady: (speaker: Speaker) => void;
  readonly onStopped: () => void;
  /** It could not start: {@link SpeakerLifecycle.follow} is to be called again. */
  readonly onRetry: () => void;
}

export class SpeakerLifecycle {
  readonly #options: SpeakerLifecycleOptions;
  readonly #log: Logger;
  #speaker: Speaker | undefined;
  #identity: Identity | undefined;
  /** There has been a speaker before the one that is started next: it announces itself as restarting. */
  restarting = false;

  constructor(options: SpeakerLifecycleOptions) {
    this.#options = options;
    this.#log = options.logger;
  }

  get speaker(): Speaker | undefined {
    return this.#speaker;
  }

  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** Sees to it that there is a speaker of this identity, or none. */
  async follow(wanted: Identity | undefined): Promise<void> {
    if (JSON.stringify(wanted) === JSON.stringify(this.#identity)) return;
    const { asn, routerId } = this.#identity ?? {};
    if (this.#speaker && wanted && wanted.asn === asn && wanted.routerId === routerId) {
      await this.#speaker.reconfigure({ listen: listenSetting(wanted), clusterId: clusterIdOf(wanted) });
      this.#log.info(wanted, "speaker reconfigured");
      this.#identity = wanted;
      return;
    }
    if (this.#speaker) {
      this.#log.info({ from: this.#identity, to: wanted }, "identity changed, starting the speaker anew");
      await this.stop({ message: "configuration changed" });
    }
    if (!wanted) {
      this.#log.warn(
        { node: this.#options.nodeName },
        "this node has no BGP address in the datastore; waiting for one",
      );
      return;
    }
    try {
      await this.#start(wanted);
    } catch (error) {
      this.#log.error({ err: error, ...wanted }, "could not start the speaker, trying again");
      await this.stop({});
      void this.#retryStart();
    }
  }

  /** The kernel keeps what the speaker has learned. */
  async stop(options: StopOptions): Promise<void> {
    const speaker = this.#speaker;
    this.#speaker = undefined;
    this.#identity = undefined;
    this.#options.onStopped();
    await speaker?.stop(options);
  }

  async #start(wanted: Identity): Promise<void> {
    const { createSpeaker = options => new Speaker(options), onCreated, onReady } = this.#options;
    const speaker = createSpeaker({
      asn: wanted.asn,
      routerId: wanted.routerId,
      clusterId: clusterIdOf(wanted),
      listen: listenSetting(wanted),
      gracefulRestart: { restarting: this.restarting, forwardingPreserved: true },
    });
    this.#speaker = speaker;
    this.#identity = wanted;
    onCreated(speaker);
    await speaker.start();
    this.#log.info(wanted, this.restarting ? "speaker restarted" : "speaker started");
    this.restarting = true;
    void speaker.ready.then(() => {
      if (speaker === this.#speaker) onReady(speaker);
    });
  }

  async #retryStart(): Promise<void> {
    const { clock, signal, onRetry } = this.#options;
    await clock.sleep(START_RETRY_MS, signal).catch(() => {});
    if (!signal.aborted) onRetry();
  }
}

function listenSetting({ port, addresses }: Identity): NonNullable<SpeakerOptions["listen"]> {
  return addresses === undefined ? { port } : { port, addresses };
}

function clusterIdOf({ clusterId, routerId }: Identity): string {
  return clusterId ?? routerId;
}
