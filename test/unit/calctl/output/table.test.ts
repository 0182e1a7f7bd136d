import assert from "node:assert/strict";
import { borderedTable, table } from "../../../../calctl/output/table.ts";

describe("table", () => {
  it("is laid out as calicoctl's: columns padded by 3, at least 5 wide, a blank line after", () => {
    assert.equal(
      table(
        [
          "NAME",
          "CIDR",
          "NAT",
          "IPIPMODE",
          "VXLANMODE",
          "DISABLED",
          "DISABLEBGPEXPORT",
          "SELECTOR",
          "ASSIGNMENTMODE",
        ],
        [
          [
            "default-ipv4-ippool",
            "192.168.0.0/16",
            "true",
            "Always",
            "Never",
            "false",
            "false",
            "all()",
            "Automatic",
          ],
        ],
      ),
      [
        "NAME                  CIDR             NAT    IPIPMODE   VXLANMODE   DISABLED   DISABLEBGPEXPORT   SELECTOR   ASSIGNMENTMODE",
        "default-ipv4-ippool   192.168.0.0/16   true   Always     Never       false      false              all()      Automatic",
        "",
        "",
      ].join("\n"),
    );
  });
  it("keeps short columns 5 wide", () => {
    assert.equal(table(["A", "B"], [["1", "2"]]), "A    B\n1    2\n\n");
  });
  it("counts characters, not code units", () => {
    assert.equal(table(["NAME", "X"], [["𝒜b", "y"]]), "NAME   X\n𝒜b     y\n\n");
  });
  it("prints its headings alone where there is nothing", () => {
    assert.equal(table(["NAME", "TIER"], []), "NAME   TIER\n\n");
  });
});

describe("borderedTable", () => {
  it("centres headings and aligns numbers to the right", () => {
    assert.equal(
      borderedTable(
        ["GROUPING", "CIDR", "IPS TOTAL"],
        [
          ["IP Pool", "192.168.0.0/16", "65536"],
          ["Block", "192.168.9.0/26", "64"],
        ],
        ["IPS TOTAL"],
      ),
      [
        "+----------+----------------+-----------+",
        "| GROUPING |      CIDR      | IPS TOTAL |",
        "+----------+----------------+-----------+",
        "| IP Pool  | 192.168.0.0/16 |     65536 |",
        "| Block    | 192.168.9.0/26 |        64 |",
        "+----------+----------------+-----------+",
        "",
      ].join("\n"),
    );
  });
});
