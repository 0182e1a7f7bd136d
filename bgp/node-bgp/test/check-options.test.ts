import assert from "node:assert/strict";
import { checkLocalRoute, checkNeighborOptions, checkSpeakerOptions, OptionError } from "../index.ts";

const SPEAKER = { asn: 64512, routerId: "192.0.2.1" };

function wrongOption(action: () => void): string | undefined {
  try {
    action();
  } catch (error) {
    assert(error instanceof OptionError);
    return error.option;
  }
  return undefined;
}

describe("options checked without a speaker", () => {
  it("are judged as the speaker would", () => {
    assert.equal(
      wrongOption(() => checkSpeakerOptions(SPEAKER)),
      undefined,
    );
    assert.equal(
      wrongOption(() => checkSpeakerOptions({ ...SPEAKER, routerId: "0.0.0.0" })),
      "routerId",
    );
  });
  it("of a neighbor depend on the speaker's", () => {
    const neighbor = { address: "192.0.2.2", asn: 64513, reflectorClient: true };
    assert.equal(
      wrongOption(() => checkNeighborOptions(neighbor, SPEAKER)),
      "reflectorClient",
    );
    assert.equal(
      wrongOption(() => checkNeighborOptions(neighbor, { ...SPEAKER, asn: 64513 })),
      undefined,
    );
  });
  it("of a route name what is wrong", () => {
    assert.equal(
      wrongOption(() => checkLocalRoute({ prefix: "10.0.0.0/8", communities: ["64512:65536"] })),
      "communities",
    );
    assert.equal(
      wrongOption(() => checkLocalRoute({ prefix: "10.0.0.0/33" })),
      "prefix",
    );
  });
});
