/**
 * A connection from somebody whose AS is not known yet: reads its OPEN, tells what it says, and gives the bytes back, so that the session
 * that follows reads them for itself. Sending our OPEN after having seen theirs is what RFC 4271 calls DelayOpen, which every
 * neighbor must be able to live with.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import { MessageError } from "../errors.ts";
import { FsmError, MessageType, NotificationCode } from "../message/constants.ts";
import { Framer, frame } from "../message/framing.ts";
import { encodeNotification, type NotificationMessage } from "../message/notification.ts";
import { decodeOpen, type OpenMessage } from "../message/open.ts";
import type { Connection } from "../transport/transport.ts";

export interface GreetingOwner {
  /** Once: the connection is the owner's from here on, with the OPEN still to be read. */
  onOpen(connection: Connection, open: OpenMessage): void;
  /** Once, instead: nothing came of it. */
  onOver(connection: Connection): void;
}

/** Nobody who wants a session keeps silent so long. */
const PATIENCE_MS = 30_000;

export class Greeting {
  readonly connection: Connection;
  readonly #clock: Clock;
  readonly #owner: GreetingOwner;
  readonly #timer: TimerHandle;
  readonly #framer = new Framer();
  readonly #read: Uint8Array[] = [];
  #isOver = false;

  constructor(connection: Connection, clock: Clock, owner: GreetingOwner) {
    this.connection = connection;
    this.#clock = clock;
    this.#owner = owner;
    this.#timer = clock.setTimeout(() => this.end(), PATIENCE_MS);
    connection.setHandler({
      onConnect: () => {},
      onData: chunk => this.#onData(chunk),
      onDrain: () => {},
      onClose: () => this.#over(),
    });
  }

  /** Closes the connection, saying why where there is something to say. */
  end(notification?: NotificationMessage): void {
    if (this.#isOver) return;
    refuse(this.connection, notification);
    this.#over();
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#read.push(chunk);
    let open: OpenMessage | undefined;
    try {
      this.#framer.push(chunk, (type, bytes, start, end) => {
        if (type !== MessageType.open) {
          throw new MessageError(NotificationCode.fsm, FsmError.unexpectedInOpenSent, "no OPEN");
        }
        open = decodeOpen(bytes.subarray(start, end));
        return false;
      });
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.end({ code: error.notificationCode, subcode: error.subcode, data: error.data });
      return;
    }
    if (open === undefined) return;
    this.#isOver = true;
    this.#clock.clearTimeout(this.#timer);
    this.connection.unread(Buffer.concat(this.#read));
    this.#owner.onOpen(this.connection, open);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clock.clearTimeout(this.#timer);
    this.#owner.onOver(this.connection);
  }
}

/** Sends a NOTIFICATION, if any, and closes. */
export function refuse(connection: Connection, notification?: NotificationMessage): void {
  if (notification === undefined) {
    connection.destroy();
    return;
  }
  connection.write(frame(MessageType.notification, encodeNotification(notification)));
  connection.end();
}
