/** All flows as answers to probes that nobody had to write. */

import { portRangeText } from "../../../policy/flows/port-intervals.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";
import type { Answer } from "./answers.ts";
import { Descriptions } from "./decision.ts";
import type { FlowPlan } from "./flows.ts";
import { packetText } from "./packets.ts";
import type { RuleSources } from "./rule-sources.ts";

export function* flowAnswers(plan: FlowPlan, sources: RuleSources): Generator<Answer> {
  const described = new Descriptions(sources);
  for (const to of plan.endpoints) {
    for (const { from, flows } of plan.into(to, plan.endpoints)) {
      const decided = flows.map(({ kind, steps }) => ({
        fields: fieldsOf(kind),
        traffic: trafficOf(kind),
        decisions: described.of(steps),
      }));
      for (const source of from.kind === "endpoints" ? from.ids : []) {
        for (const target of to.ids) {
          if (source === target) continue;
          for (const { fields, traffic, decisions } of decided)
            yield {
              probe: { from: source, to: target, ...fields },
              from: source,
              to: target,
              traffic,
              decisions,
            };
        }
      }
    }
  }
}

/** As a probe asks for it; `ports` where one port stands for several. */
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
