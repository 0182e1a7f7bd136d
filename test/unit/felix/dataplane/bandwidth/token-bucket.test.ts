import assert from "node:assert/strict";
import { tokenBucket } from "../../../../../felix/dataplane/bandwidth/token-bucket.ts";

describe("felix/dataplane/bandwidth/token-bucket", () => {
  it("counts in bytes, and lets wait what 25 ms allow and two whole segments of TCP", () => {
    assert.deepEqual(tokenBucket({ bandwidth: 8_000_000, burst: 800_000 }, 1500), {
      rate: 1_000_000,
      burst: 100_000,
      limit: 25_000 + 131_072,
    });
  });

  it("holds at least a packet, or none would ever pass", () => {
    assert.equal(tokenBucket({ bandwidth: 1000, burst: 1000 }, 1500)?.burst, 1514);
  });

  it("fits into what the kernel takes", () => {
    const most = tokenBucket({ bandwidth: 10 ** 15, burst: 34_359_738_360 }, 1500);
    assert.deepEqual(most, { rate: 125_000_000_000_000, burst: 4_294_967_295, limit: 4_294_967_295 });
  });

  it("knows peaks, and leaves out those that are none", () => {
    const limits = { bandwidth: 8_000_000, burst: 800_000 };
    const peak = tokenBucket({ ...limits, peakRate: 16_000_000 }, 1500);
    assert.deepEqual([peak?.peakRate, peak?.peakBurst], [2_000_000, 1514]);
    assert.equal(tokenBucket({ ...limits, peakRate: 16_000_000, minBurst: 9000 }, 1500)?.peakBurst, 9000);
    assert.equal(tokenBucket({ ...limits, peakRate: 8_000_000 }, 1500)?.peakRate, undefined);
  });

  it("is none where bandwidth is not limited", () => {
    assert.equal(tokenBucket({ packetRate: 10 }, 1500), undefined);
  });
});
