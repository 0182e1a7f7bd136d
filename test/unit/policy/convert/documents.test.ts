/** Whatever is given as documents: what cannot be meant is a problem at its place, and nothing throws. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { policyState } from "../../../../policy/state.ts";

const word = fc.constantFrom(
  "a",
  "b.c/d",
  "",
  " ",
  `'"`,
  "x".repeat(300),
  "__proto__",
  "é",
  "10.0.0.1",
  "10.0.0.0/8",
);
const scalar = fc.oneof(word, fc.constantFrom(0, 80, -1, 1.5, 70000, true, null), fc.constant(undefined));
const map = fc.dictionary(word, word, { maxKeys: 3 });
const labelSelector = fc.record(
  {
    matchLabels: map,
    matchExpressions: fc.array(
      fc.record({
        key: word,
        operator: fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist", "Gt"),
        values: fc.array(word, { maxLength: 2 }),
      }),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const peer = fc.record(
  {
    podSelector: labelSelector,
    namespaceSelector: labelSelector,
    namespaces: labelSelector,
    nodes: labelSelector,
    pods: fc.record({ podSelector: labelSelector, namespaceSelector: labelSelector }, { requiredKeys: [] }),
    networks: fc.array(word, { maxLength: 2 }),
    ipBlock: fc.record({ cidr: word, except: fc.array(word, { maxLength: 2 }) }, { requiredKeys: ["cidr"] }),
    selector: word,
  },
  { requiredKeys: [] },
);
const port = fc.record(
  {
    port: scalar,
    endPort: scalar,
    protocol: scalar,
    tcp: fc.record({ destinationPort: fc.record({ number: scalar }) }),
    namedPort: scalar,
    containerPort: scalar,
    name: scalar,
  },
  { requiredKeys: [] },
);
const rule = fc.record(
  {
    action: fc.constantFrom("Allow", "Accept", "Deny", "Pass", "Log"),
    from: fc.array(peer, { maxLength: 2 }),
    to: fc.array(peer, { maxLength: 2 }),
    source: peer,
    ports: fc.array(port, { maxLength: 2 }),
    protocols: fc.array(port, { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const spec = fc.record(
  {
    podSelector: labelSelector,
    subject: peer,
    selector: word,
    tier: fc.constantFrom("Admin", "default", "a b"),
    priority: fc.constantFrom(1, -1, "1"),
    ingress: fc.array(rule, { maxLength: 2 }),
    egress: fc.array(rule, { maxLength: 2 }),
    nodeName: scalar,
    containers: fc.array(fc.record({ ports: fc.array(port, { maxLength: 2 }) }), { maxLength: 2 }),
    ports: fc.array(port, { maxLength: 2 }),
    nets: fc.array(word, { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const document = fc.record(
  {
    apiVersion: fc.constantFrom(
      "v1",
      "projectcalico.org/v3",
      "networking.k8s.io/v1",
      "policy.networking.k8s.io/v1alpha1",
      "policy.networking.k8s.io/v1alpha2",
      "discovery.k8s.io/v1",
    ),
    kind: fc.constantFrom(
      ..."Pod Namespace Node ServiceAccount Service EndpointSlice NetworkPolicy ClusterNetworkPolicy".split(
        " ",
      ),
      ..."AdminNetworkPolicy BaselineAdminNetworkPolicy GlobalNetworkPolicy NetworkSet policy profile".split(
        " ",
      ),
    ),
    metadata: fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record(
          { name: word, namespace: word, labels: map, annotations: map },
          { requiredKeys: [] },
        ),
      },
      { weight: 1, arbitrary: fc.anything() },
    ),
    spec: fc.oneof({ weight: 5, arbitrary: spec }, { weight: 1, arbitrary: fc.anything() }),
    status: fc.anything(),
  },
  { requiredKeys: ["apiVersion", "kind"] },
);

describe("policy/convert/documents", () => {
  it("answers anything, and what it takes can be evaluated", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 9, arbitrary: document }, { weight: 1, arbitrary: fc.anything() })),
        documents => {
          const { state, problems } = policyState(documents);
          for (const { document: place, message, expected } of problems) {
            assert(place >= 0 && place < documents.length);
            assert(message.length > 0 && expected.length > 0);
          }
          const evaluator = new PolicyEvaluator(state);
          const sources = state.endpoints.flatMap(endpoint => endpoint.addresses);
          evaluator.matrix(
            sources,
            sources.map(address => ({ address, protocol: "TCP", port: 80 })),
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});
