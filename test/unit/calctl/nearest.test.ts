import assert from "node:assert/strict";
import { didYouMean, nearest } from "../../../calctl/nearest.ts";

const KINDS = ["networkpolicy", "globalnetworkpolicy", "node", "profile", "ippool", "tier"];

describe("nearest", () => {
  const cases: [typed: string, meant: string | undefined][] = [
    ["netwrkpolicy", "networkpolicy"],
    ["networkpolciy", "networkpolicy"],
    ["profil", "profile"],
    ["PROFILES", "profile"],
    ["ippol", "ippool"],
    ["teir", "tier"],
    ["nod", "node"],
    ["kubernetes", undefined],
    ["xyz", undefined],
  ];
  for (const [typed, meant] of cases)
    it(`${typed} -> ${meant}`, () => assert.equal(nearest(typed, KINDS), meant));
  it("is said in brackets, or not at all", () => {
    assert.equal(didYouMean("teir", KINDS), ' (did you mean "tier"?)');
    assert.equal(didYouMean("qqqqqq", KINDS), "");
  });
});
