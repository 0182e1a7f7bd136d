/** Messages sent to and received from one neighbor, by type, since it was configured. */

import { MessageType } from "../message/constants.ts";
import type { MessageCounters } from "../neighbor.ts";

export class MessageTally {
  readonly #counts = { sent: new Array<number>(6).fill(0), received: new Array<number>(6).fill(0) };

  add(direction: "sent" | "received", type: MessageType, messages: number): void {
    this.#counts[direction][type]! += messages;
  }

  snapshot(direction: "sent" | "received"): MessageCounters {
    const counts = this.#counts[direction];
    return {
      open: counts[MessageType.open]!,
      update: counts[MessageType.update]!,
      notification: counts[MessageType.notification]!,
      keepalive: counts[MessageType.keepalive]!,
      routeRefresh: counts[MessageType.routeRefresh]!,
    };
  }
}
