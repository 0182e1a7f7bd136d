/** All flows as answers to probes that nobody had to write. */

import { portRangeText } from "../../../policy/flows/port-intervals.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";
import { type Decisions, Descriptions } from "./decision.ts";
import type { Flow, FlowPlan } from "./flows.ts";
import { packetText } from "./packets.ts";
import type { RuleSources } from "./rule-sources.ts";

export interface FlowAnswer {
  /** As a probe asks for it; `ports` where one port stands for several. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly traffic: string;
  readonly decisions: Decisions;
}

export interface PairAnswers {
  readonly from: string;
  readonly to: string;
  /** The same array for many pairs: there may be millions of them. */
  readonly answers: readonly FlowAnswer[];
}

export function* flowAnswers(plan: FlowPlan, sources: RuleSources): Generator<PairAnswers> {
  const described = new Descriptions(sources);
  for (const to of plan.endpoints) {
    const known = new Map<readonly Flow[], readonly FlowAnswer[]>();
    for (const { from, flows } of plan.into(to, plan.endpoints)) {
      if (from.kind !== "endpoints") continue;
      const answers = known.get(flows) ?? flows.map(flow => answerOf(flow, described));
      known.set(flows, answers);
      for (const source of from.ids)
        for (const target of to.ids) if (source !== target) yield { from: source, to: target, answers };
    }
  }
}

function answerOf({ kind, steps }: Flow, described: Descriptions): FlowAnswer {
  return { fields: fieldsOf(kind), traffic: trafficOf(kind), decisions: described.of(steps) };
}

function fieldsOf({ destinationPorts, packet }: TrafficKind): Record<string, unknown> {
  const { protocol, destinationPort: port, icmp } = packet;
  const range = destinationPorts && destinationPorts.low !== destinationPorts.high;
  return {
    ...(port !== undefined && { port }),
    protocol,
    ...(icmp && { icmp }),
    ...(range && { ports: portRangeText(destinationPorts) }),
  };
}

function trafficOf({ destinationPorts, packet }: TrafficKind): string {
  if (destinationPorts === undefined) return packetText(packet);
  return `${portRangeText(destinationPorts)}/${packet.protocol}`;
}
