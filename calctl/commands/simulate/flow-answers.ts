/** All flows as answers to probes that nobody had to write. */

import { portRangeText } from "../../../policy/flows/port-intervals.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";
import type { Answer } from "./answers.ts";
import { type DecidingSteps, type Decisions, decisionsOf } from "./decision.ts";
import type { FlowPlan } from "./flows.ts";
import { packetText } from "./packets.ts";
import type { RuleSources } from "./rule-sources.ts";

export function* flowAnswers(plan: FlowPlan, sources: RuleSources): Generator<Answer> {
  const described = new Descriptions(sources);
  for (const from of plan.endpoints) {
    for (const to of plan.endpoints) {
      const found = plan.between(from, to);
      if (found === undefined) continue;
      const decided = found.flows.map(({ kind, steps }) => ({
        fields: fieldsOf(kind),
        traffic: trafficOf(kind),
        decisions: described.of(steps),
      }));
      for (const source of from.ids) {
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

/** Many flows are decided by the same two steps, which are then one and the same object. */
class Descriptions {
  readonly #sources: RuleSources;
  readonly #known = new WeakMap<object, WeakMap<object, Decisions>>();

  constructor(sources: RuleSources) {
    this.#sources = sources;
  }

  of(steps: DecidingSteps): Decisions {
    const { egress = NOBODY, ingress = NOBODY } = steps;
    let own = this.#known.get(egress);
    if (own === undefined) {
      own = new WeakMap();
      this.#known.set(egress, own);
    }
    let found = own.get(ingress);
    if (found === undefined) {
      found = decisionsOf(steps, this.#sources);
      own.set(ingress, found);
    }
    return found;
  }
}

const NOBODY = {};

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
