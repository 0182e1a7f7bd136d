/**
 * A neighbor of a speaker in the simulated network that says exactly what the test wants, and remembers what it is told. It does
 * only what keeps a session: OPEN, and a KEEPALIVE for each it receives.
 */

import type { Capability } from "../../message/capabilities.ts";
import { MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import {
  decodeNotification,
  encodeNotification,
  type NotificationMessage,
} from "../../message/notification.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../../message/open.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../message/route-refresh.ts";
import { decodeUpdate, encodeUpdate } from "../../message/update.ts";
import { endOfRibBody } from "../../message/update-packer.ts";
import { Family, type PathAttributes } from "../../route.ts";
import type { Connection } from "../../transport/transport.ts";
import type { Lab } from "./lab.ts";

export interface RawNeighborOptions {
  /** Its own; the speaker has it as a passive neighbor. */
  readonly address: string;
  /** Of the speaker. */
  readonly speaker: string;
  readonly asn: number;
  readonly holdTime?: number;
  /** Beside 4-byte AS numbers, IPv4 and plain route refresh. */
  readonly capabilities?: readonly Capability[];
}

const DEFAULT_CAPABILITIES = (asn: number): Capability[] => [
  { kind: "multiprotocol", afi: 1, safi: 1 },
  { kind: "route-refresh" },
  { kind: "four-octet-as", asn },
];

export class RawNeighbor {
  readonly #connection: Connection;
  readonly #framer = new Framer();
  readonly #options: RawNeighborOptions;
  /** What it was told, in order: `OPEN`, `KEEPALIVE`, `+10.0.0.0/8`, `-10.0.0.0/8`, `End-of-RIB`, `refresh`, `BoRR`, `EoRR`, `NOTIFICATION 6/2`. */
  readonly heard: string[] = [];
  open: OpenMessage | undefined;
  notification: NotificationMessage | undefined;
  isClosed = false;

  /** Dials. */
  constructor(lab: Lab, options: RawNeighborOptions) {
    this.#options = options;
    this.#connection = lab.network.connect(options.address, options.speaker);
    this.#connection.setHandler({
      onConnect: () => this.#sendOpen(),
      onData: chunk =>
        void this.#framer.push(chunk, (type, bytes, start, end) => this.#hear(type, bytes.slice(start, end))),
      onDrain: () => {},
      onClose: () => {
        this.isClosed = true;
      },
    });
  }

  announce(...prefixes: string[]): void {
    this.announceWith({}, ...prefixes);
  }

  announceWith(part: Partial<PathAttributes>, ...prefixes: string[]): void {
    const attributes: PathAttributes = {
      origin: "igp",
      asPath: [],
      nextHop: this.#options.address,
      localPref: 100,
      ...part,
    };
    const nlri = Nlri.of(Family.ipv4Unicast, prefixes);
    this.#connection.write(encodeUpdate({ announced: [{ nlri, attributes }] }, { fourOctetAs: true }));
  }

  withdraw(...prefixes: string[]): void {
    const withdrawn = [Nlri.of(Family.ipv4Unicast, prefixes)];
    this.#connection.write(encodeUpdate({ withdrawn }, { fourOctetAs: true }));
  }

  endOfRib(): void {
    this.send(MessageType.update, endOfRibBody(Family.ipv4Unicast));
  }

  routeRefresh(subtype: number): void {
    this.send(MessageType.routeRefresh, encodeRouteRefresh({ afi: 1, subtype, safi: 1 }));
  }

  notify(notification: NotificationMessage): void {
    this.send(MessageType.notification, encodeNotification(notification));
    this.close();
  }

  send(type: MessageType, body?: Uint8Array): void {
    this.#connection.write(frame(type, body));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#connection.write(bytes);
  }

  close(): void {
    this.#connection.end();
  }

  /** What it was told since the last time, KEEPALIVEs aside. */
  news(): string[] {
    return this.heard.splice(0).filter(word => word !== "KEEPALIVE");
  }

  #sendOpen(): void {
    const { asn, address, holdTime = 90, capabilities = [] } = this.#options;
    const open = {
      asn,
      holdTime,
      routerId: address,
      capabilities: [...DEFAULT_CAPABILITIES(asn), ...capabilities],
    };
    this.send(MessageType.open, encodeOpen(open));
    this.send(MessageType.keepalive);
  }

  #hear(type: MessageType, body: Uint8Array): boolean {
    switch (type) {
      case MessageType.open:
        this.open = decodeOpen(body);
        this.heard.push("OPEN");
        break;
      case MessageType.keepalive:
        this.heard.push("KEEPALIVE");
        this.send(MessageType.keepalive);
        break;
      case MessageType.notification:
        this.notification = decodeNotification(body);
        this.heard.push(`NOTIFICATION ${this.notification.code}/${this.notification.subcode}`);
        break;
      case MessageType.routeRefresh:
        this.heard.push(["refresh", "BoRR", "EoRR"][decodeRouteRefresh(body).subtype]!);
        break;
      case MessageType.update: {
        const update = decodeUpdate(body, { ebgp: false, fourOctetAs: true });
        for (const list of update.withdrawn) for (const prefix of list) this.heard.push(`-${prefix}`);
        for (const { nlri } of update.announced) for (const prefix of nlri) this.heard.push(`+${prefix}`);
        if (update.endOfRib !== undefined) this.heard.push("End-of-RIB");
      }
    }
    return true;
  }
}
