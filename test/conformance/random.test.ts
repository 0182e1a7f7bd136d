/**
 * Random policies, endpoints and packets: the evaluator, iptables and nftables must be of one opinion.
 *
 * CALYX_RANDOM_RUNS=500 asks more often (default 3); CALYX_RANDOM_SEED repeats what a run printed.
 */

import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import { type CaseProbe, spell } from "./case-file.ts";
import { Cast } from "./cast.ts";
import { DATAPLANES } from "./dataplanes.ts";
import { randomState } from "./random-state.ts";
import { ThreeWay } from "./three-way.ts";

const RUNS = Number(process.env["CALYX_RANDOM_RUNS"] ?? 3);
const SEED = Number(process.env["CALYX_RANDOM_SEED"] ?? process.pid);
/** Making a counterexample smaller is worth that much. */
const SHRINK_MS = 120_000;

describe("random policies on real packets", function () {
  this.timeout(60_000 + SHRINK_MS + RUNS * 10_000);
  const labs: { readonly cast: Cast; readonly threeWay: ThreeWay }[] = [];

  before(async () => {
    for (const dataplane of DATAPLANES) {
      const cast = await Cast.up(dataplane);
      labs.push({ cast, threeWay: await ThreeWay.open(cast) });
    }
  });

  after(async () => {
    for (const { threeWay } of labs) await threeWay.close();
    for (const { cast } of labs) await cast.lab.end();
  });

  it(`are judged alike by evaluator, ${DATAPLANES.join(" and ")} (${RUNS} states, seed ${SEED})`, async () => {
    const property = fc.asyncProperty(randomState, async state => {
      const differences = await Promise.all(
        labs.map(async ({ cast, threeWay }) => {
          const spoken = spell(state, cast.vocabulary) as typeof state;
          await threeWay.set({ ...spoken, slices: [] });
          const probes = spoken.probes.map(probe => ({ ...probe, expected: "allow" as const }));
          const verdicts = await threeWay.evaluate(probes);
          const judged: CaseProbe[] = probes.map((probe, i) => ({ ...probe, expected: verdicts[i]! }));
          const found = await threeWay.differences(judged);
          return found.map(difference => `${cast.lab.record.dataplane}: ${difference}`);
        }),
      );
      assert.deepEqual(differences.flat(), []);
    });
    await fc.assert(property, {
      numRuns: RUNS,
      seed: SEED,
      interruptAfterTimeLimit: RUNS * 10_000 + SHRINK_MS,
    });
  });
});
