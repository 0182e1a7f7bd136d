/** Flows as small as they can be. */

import type { Flow } from "../../../../felix/flows/flow.ts";
import type { LoggedFlow } from "../../../../linux/nflog/nflog.ts";
import { ip } from "../../../../net/ip.ts";

export const flow = (changes: Partial<Flow> = {}): Flow => ({
  source: { address: ip("10.0.0.1") },
  destination: { address: ip("10.0.0.2") },
  protocol: "TCP",
  port: 80,
  direction: "ingress",
  verdict: "allow",
  decidedBy: { kind: "policy", name: "np/default/web", rule: 0 },
  packets: 1,
  bytes: 60,
  first: 1_000_000,
  last: 1_000_000,
  ...changes,
});

export const logged = (prefix: string, changes: Partial<LoggedFlow> = {}): LoggedFlow => ({
  group: 1,
  prefix,
  protocol: 6,
  source: ip("10.0.0.1"),
  destination: ip("10.0.0.2"),
  sourcePort: 40_000,
  destinationPort: 80,
  packets: 1,
  bytes: 60,
  first: 1_000_000,
  last: 1_000_000,
  ...changes,
});
