/**
 * Fuzzing on demand, with as many inputs as one has time for; a failure names its seed, and the test beside this file repeats it.
 *
 *   node bgp/node-bgp/test/fuzz/main.ts [INPUTS [SEED]]     default 10,000,000 inputs, a seed of the moment
 */

import { fuzzCodec } from "./codec-fuzz.ts";
import { fuzzSession } from "./session-fuzz.ts";

const inputs = Number(process.argv[2] ?? 10_000_000);
const first = Number(process.argv[3] ?? Date.now() % 0x7fffffff);
/** A tenth of the inputs go through a live session, which costs more. */
const SESSION_SHARE = 10;
const ROUND = 100_000;

const began = performance.now();
let done = 0;
let resets = 0;
for (let seed = first; done < inputs; seed++) {
  const size = Math.min(ROUND, inputs - done);
  const share = Math.ceil(size / SESSION_SHARE);
  const codec = fuzzCodec({ inputs: size - share, seed });
  const session = await fuzzSession({ inputs: share, seed });
  done += size;
  resets += codec.resets + session.resets;
  const rate = Math.round(done / ((performance.now() - began) / 1000));
  process.stdout.write(`\rseed ${seed}: ${done} inputs, ${resets} resets, ${rate}/s `);
}
process.stdout.write(`\n${done} inputs from seed ${first}: no crash, no hang, no reset that should not be\n`);
