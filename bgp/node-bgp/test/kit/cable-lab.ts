/**
 * Our own speakers at both ends of a cable, all objects of this process: what is made within `at(...)` has its sockets in that end's
 * namespace for good. Dials come from the left end, where the test itself is, so a speaker on the right must be passive.
 */

import { execFileSync } from "node:child_process";
import { acceptAll, type NeighborOptions, Speaker, type SpeakerOptions } from "../../index.ts";
import { Cable } from "./namespaces.ts";
import { enterNamespace } from "./network-namespace.ts";

export const LEFT = "10.99.0.1";
export const RIGHT = "10.99.0.2";
export const LEFT6 = "fd99::1";
export const RIGHT6 = "fd99::2";

export class CableLab {
  readonly cable = new Cable();
  readonly #leave = enterNamespace(this.cable.left);
  #speakers: Speaker[] = [];

  /** A started speaker of AS 64512 (left) or 64513 (right), listening on that end's addresses unless told otherwise. */
  async speaker(
    end: "left" | "right",
    options: Partial<SpeakerOptions> = {},
    ...neighbors: readonly NeighborOptions[]
  ): Promise<Speaker> {
    const isLeft = end === "left";
    const speaker = new Speaker({
      asn: isLeft ? 64512 : 64513,
      routerId: isLeft ? LEFT : RIGHT,
      ...options,
    });
    this.#speakers.push(speaker);
    for (const neighbor of neighbors) speaker.addNeighbor({ ...OPEN, passive: !isLeft, ...neighbor });
    await this.at(end, () => speaker.start());
    return speaker;
  }

  async at<T>(end: "left" | "right", action: () => Promise<T>): Promise<T> {
    if (end === "left") return action();
    const leave = enterNamespace(this.cable.right);
    try {
      return await action();
    } finally {
      leave();
    }
  }

  ip(end: "left" | "right", ...args: string[]): string {
    return run("ip", "-n", this.cable[end], ...args);
  }

  exec(end: "left" | "right", command: string, ...args: string[]): string {
    return run("ip", "netns", "exec", this.cable[end], command, ...args);
  }

  /** A second cable, `eth1`: 10.98.0.1 and fd98::1 on the left, 10.98.0.2 and fd98::2 on the right. */
  addSecondCable(): void {
    const { left, right } = this.cable;
    run("ip", "-n", left, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", right);
    for (const [end, last] of [
      ["left", 1],
      ["right", 2],
    ] as const) {
      this.ip(end, "addr", "add", `10.98.0.${last}/24`, "dev", "eth1");
      this.ip(end, "addr", "add", `fd98::${last}/64`, "dev", "eth1", "nodad");
      this.ip(end, "link", "set", "eth1", "up");
    }
  }

  async endSpeakers(): Promise<void> {
    for (const speaker of this.#speakers.splice(0)) await speaker.stop();
  }

  async close(): Promise<void> {
    await this.endSpeakers();
    this.#leave();
    this.cable.remove();
  }
}

/** Quick, and everything both ways. */
const OPEN = { importPolicy: acceptAll, exportPolicy: acceptAll, connectRetryTime: 1 } as const;

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
