/** What the import policy changes or refuses is kept as it was sent, so that another policy needs no help of the neighbor. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { RoutePolicy } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const C = "10.0.0.3";

const onlyTens: RoutePolicy = route => (route.prefix.startsWith("10.") ? route : null);
const marked: RoutePolicy = route => ({ ...route, localPref: 200 });

async function pair(lab: Lab, importPolicy?: RoutePolicy): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512, softReconfiguration: true, ...(importPolicy && { importPolicy }) });
  b.addNeighbor({ address: A, asn: 64512 });
  await lab.start(a, b);
  for (const prefix of ["10.1.0.0/16", "10.2.0.0/16", "172.16.0.0/12"]) b.announce({ prefix, med: 5 });
  lab.advance(1);
  return [a, b];
}

const sent = (a: LabSpeaker) => [...a.received(B, undefined, "before")].map(({ prefix }) => prefix).sort();
const refreshes = (b: LabSpeaker) => b.neighbor(A)!.received.routeRefresh;
const ALL = ["10.1.0.0/16", "10.2.0.0/16", "172.16.0.0/12"];

describe("soft reconfiguration", () => {
  it("applies another policy to what was refused and changed, without asking the neighbor", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, onlyTens);
    assert.deepEqual(prefixesOf(a), ALL.slice(0, 2));
    assert.deepEqual(sent(a), ALL);
    const use = (importPolicy?: RoutePolicy) => {
      a.updateNeighbor({
        address: B,
        asn: 64512,
        softReconfiguration: true,
        ...(importPolicy && { importPolicy }),
      });
      lab.advance(1);
    };
    use(marked);
    assert.deepEqual(
      [...a.routes()].map(({ prefix, localPref }) => [prefix, localPref]).sort(),
      ALL.map(prefix => [prefix, 200]),
    );
    assert.deepEqual(
      [...a.received(B, undefined, "before")].map(({ localPref }) => localPref),
      [100, 100, 100],
    );
    use();
    assert.deepEqual(
      [...a.routes()].map(({ localPref }) => localPref),
      [100, 100, 100],
    );
    use(() => null);
    assert.deepEqual(prefixesOf(a), []);
    assert.deepEqual(sent(a), ALL);
    assert.equal(a.neighbor(B)?.prefixes.received, 3);
    use(onlyTens);
    assert.deepEqual(prefixesOf(a), ALL.slice(0, 2));
    assert.equal(refreshes(b), 0);
  });

  it("asks a policy that answers differently again, and tells others what came of it", async () => {
    const lab = new Lab();
    let isOpen = false;
    const [a, b] = await pair(lab, route => (isOpen ? route : null));
    const c = lab.speaker(C, 64513);
    a.addNeighbor({
      address: C,
      asn: 64513,
      exportPolicy: route => route,
      importPolicy: () => null,
      passive: true,
    });
    c.addNeighbor({ address: A, asn: 64512, importPolicy: route => route, exportPolicy: () => null });
    await c.start();
    lab.advance(10);
    assert.deepEqual(prefixesOf(c), []);
    isOpen = true;
    a.refreshImports(B);
    lab.advance(1);
    assert.deepEqual(prefixesOf(c), ALL);
    isOpen = false;
    a.refreshImports();
    lab.advance(1);
    assert.deepEqual(prefixesOf(c), []);
    assert.equal(refreshes(b), 0);
  });

  it("keeps nothing of what the neighbor withdraws, or of a neighbor that is gone", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, onlyTens);
    b.withdraw("172.16.0.0/12");
    b.withdraw("10.1.0.0/16");
    lab.advance(1);
    assert.deepEqual(sent(a), ["10.2.0.0/16"]);
    b.announce({ prefix: "172.16.0.0/12" });
    lab.advance(1);
    b.removeNeighbor(A);
    lab.advance(1);
    assert.deepEqual(sent(a), []);
    assert.deepEqual(prefixesOf(a), []);
  });

  it("comes to the same as a neighbor that sends everything again, whatever the policies and changes", async () => {
    const policies: RoutePolicy[] = [
      route => route,
      () => null,
      marked,
      onlyTens,
      route => ((route.med ?? 0) % 2 === 0 ? { ...route, med: 9 } : null),
    ];
    const step = fc.oneof(
      fc.record({ policy: fc.nat(policies.length - 1) }),
      fc.record({ prefix: fc.nat(3), med: fc.option(fc.nat(3)) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async steps => {
        const outcome = async (softReconfiguration: boolean) => {
          const lab = new Lab();
          const a = lab.speaker(A, 64512);
          const b = lab.speaker(B, 64512);
          a.addNeighbor({ address: B, asn: 64512, softReconfiguration });
          b.addNeighbor({ address: A, asn: 64512 });
          await lab.start(a, b);
          lab.advance(1);
          for (const step of steps) {
            if ("policy" in step)
              a.updateNeighbor({
                address: B,
                asn: 64512,
                softReconfiguration,
                importPolicy: policies[step.policy]!,
              });
            else if (step.med === null) b.withdraw(`10.${step.prefix}.0.0/16`);
            else
              b.announce({
                prefix: `${step.prefix % 2 === 0 ? 10 : 172}.${step.prefix}.0.0/16`,
                med: step.med,
              });
            lab.advance(1);
          }
          lab.advance(120);
          return [...a.routes()].map(({ prefix, med, localPref }) => `${prefix} ${med} ${localPref}`).sort();
        };
        assert.deepEqual(await outcome(true), await outcome(false));
      }),
      { numRuns: 20 },
    );
  });
});
