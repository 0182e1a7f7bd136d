/**
 * Many packets at once: where they are about as many as their senders times their targets, as when somebody asks about every
 * pair of pods, they are the cells of one matrix (evaluation/matrix.ts); else each is asked by itself.
 */

import type { Ip } from "../../net/ip.ts";
import type { Target } from "../evaluate.ts";
import type { Packet } from "../packet.ts";
import { type DecidingSteps, decidingSteps } from "./deciding-steps.ts";
import type { Reach } from "./reach.ts";

/** Below, a matrix is not worth its making. */
const MANY = 2000;
/** Cells that are computed for each packet asked about, at most. */
const SPARSE = 4;

/** The answer to each packet, by its place. */
export function askPackets(reach: Reach, packets: readonly Packet[]): (place: number) => DecidingSteps {
  const one = (place: number): DecidingSteps => decidingSteps(reach.evaluator.verdict(packets[place]!));
  if (packets.length < MANY || reach.asksSourcePorts) return one;
  const sources = new Places<Ip>();
  const targets = new Places<Target>();
  const rows = new Uint32Array(packets.length);
  const columns = new Uint32Array(packets.length);
  for (const [
    i,
    { source, destination: address, protocol, destinationPort: port, icmp },
  ] of packets.entries()) {
    rows[i] = sources.of(source, source);
    columns[i] = targets.of(`${address} ${protocol} ${port} ${icmp?.type} ${icmp?.code}`, {
      address,
      protocol,
      ...(port !== undefined && { port }),
      ...(icmp && { icmp }),
    });
  }
  if (sources.items.length * targets.items.length > SPARSE * packets.length) return one;
  const matrix = reach.evaluator.matrix(sources.items, targets.items);
  return place => matrix.decision(rows[place]!, columns[place]!);
}

/** Different things in the order in which they came, by what names them. */
class Places<T> {
  readonly items: T[] = [];
  readonly #known = new Map<string, number>();

  of(name: string, item: T): number {
    let place = this.#known.get(name);
    if (place === undefined) {
      place = this.items.push(item) - 1;
      this.#known.set(name, place);
    }
    return place;
  }
}
