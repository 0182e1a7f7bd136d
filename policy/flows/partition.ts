/**
 * Everything that may be sent between two ends, in kinds of packets between which no candidate of either side tells, each
 * with what decides: what one side decides is cut once for each list of candidates, and two sides are laid over each other
 * in one pass. So it costs little also where no two pairs of endpoints are alike.
 */

import type { IpVersion } from "../../net/ip.ts";
import type { Candidates } from "../evaluate.ts";
import type { Step } from "../verdict.ts";
import { ALL_PORTS } from "./port-intervals.ts";
import { asksPorts, EPHEMERAL, type TrafficKind, trafficKinds, WITH_PORTS } from "./traffic-kinds.ts";

/** What several lists of candidates decide about each kind of packet. */
export interface Partition {
  readonly kinds: readonly TrafficKind[];
  /** By list, then by kind. */
  readonly steps: readonly (readonly Step[])[];
}

/** One list alone. Destination ports of all protocols are one axis, so that laying over is merging. */
interface Cut {
  readonly asksSourcePorts: boolean;
  readonly starts: readonly number[];
  readonly steps: readonly Step[];
  readonly others: readonly TrafficKind[];
  readonly otherSteps: readonly Step[];
  /** Equal where the other kinds are. */
  readonly othersText: string;
}

const PORTS = 65536;
const END = WITH_PORTS.length * PORTS;

const CUTS: Readonly<Record<IpVersion, WeakMap<Candidates, Cut>>> = { 4: new WeakMap(), 6: new WeakMap() };

/** `lists`: at least one. */
export function partitionOf(lists: readonly Candidates[], version: IpVersion): Partition {
  const cuts = lists.map(list => cutOf(list, version));
  if (cuts.some(cut => cut.asksSourcePorts)) return askLists(lists, kindsOf(lists, version));
  const kinds: TrafficKind[] = [];
  const steps: Step[][] = cuts.map(() => []);
  overlay(cuts, kinds, steps);
  const [{ others, othersText }] = cuts as [Cut];
  if (cuts.every(cut => cut.othersText === othersText)) {
    kinds.push(...others);
    for (const [i, cut] of cuts.entries()) steps[i]!.push(...cut.otherSteps);
    return { kinds, steps };
  }
  const rest = askLists(lists, kindsOf(lists, version).filter(isOther));
  return { kinds: [...kinds, ...rest.kinds], steps: steps.map((own, i) => [...own, ...rest.steps[i]!]) };
}

function kindsOf(lists: readonly Candidates[], version: IpVersion): TrafficKind[] {
  const rules = lists.flatMap(list => list.rules);
  return trafficKinds(rules, version, {
    sourcePorts: lists.flatMap(list => list.knownPorts.source),
    destinationPorts: lists.flatMap(list => list.knownPorts.destination),
  });
}

export function askLists(lists: readonly Candidates[], kinds: readonly TrafficKind[]): Partition {
  return { kinds, steps: lists.map(list => kinds.map(({ packet }) => list.stepOf(packet))) };
}

function cutOf(list: Candidates, version: IpVersion): Cut {
  let cut = CUTS[version].get(list);
  if (cut === undefined) {
    cut = makeCut(list, version);
    CUTS[version].set(list, cut);
  }
  return cut;
}

function makeCut(list: Candidates, version: IpVersion): Cut {
  const kinds = kindsOf([list], version);
  const others = kinds.filter(isOther);
  const byPort = kinds.filter(kind => !isOther(kind));
  const steps = byPort.map(({ packet }) => list.stepOf(packet));
  const starts = byPort.map(startOf);
  // What several rules cut and none decides differently is one again.
  const apart = starts.map((start, i) => start % PORTS === ALL_PORTS.low || steps[i] !== steps[i - 1]);
  return {
    asksSourcePorts: list.rules.some(({ source }) => asksPorts(source)),
    starts: starts.filter((_, i) => apart[i]),
    steps: steps.filter((_, i) => apart[i]),
    others,
    otherSteps: others.map(({ packet }) => list.stepOf(packet)),
    othersText: JSON.stringify(others),
  };
}

function isOther({ destinationPorts }: TrafficKind): boolean {
  return destinationPorts === undefined;
}

function startOf({ protocol, destinationPorts }: TrafficKind): number {
  return WITH_PORTS.indexOf(protocol as (typeof WITH_PORTS)[number]) * PORTS + destinationPorts!.low;
}

function overlay(cuts: readonly Cut[], kinds: TrafficKind[], steps: readonly Step[][]): void {
  const at = cuts.map(() => 0);
  for (let start: number = ALL_PORTS.low; start < END; ) {
    let next = END;
    for (let i = 0; i < cuts.length; i++) {
      const { starts, steps: own } = cuts[i]!;
      if (starts[at[i]! + 1]! <= start) at[i]!++;
      steps[i]!.push(own[at[i]!]!);
      const after = starts[at[i]! + 1] ?? END;
      if (after < next) next = after;
    }
    kinds.push(portKind(start, next));
    start = next;
  }
}

/** `next`: where the next one begins; behind the last port of a protocol comes 1 of the next. */
function portKind(start: number, next: number): TrafficKind {
  const protocol = WITH_PORTS[Math.floor(start / PORTS)]!;
  const low = start % PORTS;
  const high = next % PORTS <= ALL_PORTS.low ? ALL_PORTS.high : (next % PORTS) - 1;
  return {
    protocol,
    sourcePorts: ALL_PORTS,
    destinationPorts: { low, high },
    packet: { protocol, sourcePort: EPHEMERAL, destinationPort: low },
  };
}
