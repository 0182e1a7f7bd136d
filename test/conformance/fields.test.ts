/**
 * Every field of policies and endpoints with real packets, over both IP versions and with both dataplanes: the cases
 * of `cases/*.yaml`. Without CALYX_CONFORMANCE=all those that are marked slow are left out.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { listCases, readCase } from "./case-file.ts";
import { Cast } from "./cast.ts";
import { DATAPLANES } from "./dataplanes.ts";
import { ThreeWay } from "./three-way.ts";

const IS_WHOLE = process.env["CALYX_CONFORMANCE"] === "all";

for (const dataplane of DATAPLANES) {
  describe(`every field, on ${dataplane}`, () => {
    let cast: Cast;
    let threeWay: ThreeWay;

    before(async () => {
      cast = await Cast.up(dataplane);
      threeWay = await ThreeWay.open(cast);
    });

    after(async () => {
      await threeWay?.close();
      await cast?.lab.end();
    });

    for (const { file, name, slow } of listCases()) {
      if (slow && !IS_WHOLE) continue;
      it(`${file}: ${name}`, async () => {
        const one = readCase(file, name, cast.vocabulary);
        await threeWay.set(one);
        assert.deepEqual(await threeWay.differences(one.probes), []);
      });
    }
  });
}
