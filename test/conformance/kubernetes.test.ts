/**
 * Upstream's own cases of Kubernetes' policies (../shared/conformance) as real packets, on both dataplanes: one state
 * for `make test`; with CALYX_CONFORMANCE=all the e2e suite whole and a sample of the others.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type RecordedCase, readCases, testOf } from "../../lab/play/cases.ts";
import { Player } from "../../lab/play/player.ts";
import { ROOT, TestLab } from "../system/test-lab.ts";
import { DATAPLANES } from "./dataplanes.ts";

const FILE = join(ROOT, "..", "shared", "conformance", "netpol", "cases.json");
const IS_WHOLE = process.env["CALYX_CONFORMANCE"] === "all";
/** Of tests that are not e2e's, one in so many. */
const SAMPLE = 8;
const FEW: readonly RegExp[] = [
  /^k8s-e2e: should enforce updated policy/,
  /^cnp-conformance: CNPAdminTierGress/,
];

/** States of one test stay together. */
function chosen(cases: readonly RecordedCase[]): RecordedCase[] {
  if (!IS_WHOLE) return cases.filter(({ name }) => FEW.some(pattern => pattern.test(name)));
  const tests = [...Map.groupBy(cases, ({ name }) => testOf(name))];
  return tests
    .filter(([name], i) => name.startsWith("k8s-e2e:") || i % SAMPLE === 0)
    .flatMap(([, states]) => states);
}

for (const dataplane of DATAPLANES) {
  describe(`Kubernetes' own cases, on ${dataplane}`, function () {
    this.timeout(IS_WHOLE ? 600_000 : 60_000);
    let lab: TestLab;

    before(async function () {
      if (!existsSync(FILE)) {
        this.test!.parent!.title += ` (skipped: ${FILE} is not there)`;
        this.skip();
      }
      lab = await TestLab.up({ hosts: 2, dataplane });
    });

    after(() => lab?.end());

    it("fare as upstream expects", async function () {
      const player = await Player.open(lab);
      try {
        const cases = chosen(readCases(FILE));
        let probes = 0;
        for (const recorded of cases) {
          const { different, probes: sent } = await player.play(recorded);
          assert.deepEqual(different, [], recorded.name);
          probes += sent;
        }
        assert.ok(probes > 0);
        this.test!.title += `: ${probes} probes of ${cases.length} states`;
      } finally {
        await player.close();
      }
    });
  });
}
