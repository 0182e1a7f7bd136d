import assert from "node:assert/strict";
import { summarize } from "../../../../linux/nflog/packet.ts";
import { bytes } from "../netlink/golden.ts";

const IPV4 = "45000054 00004000 40060000 0a000001 0a000002";
const IPV6 = "60000000 0020 PP 40 fd000000000000000000000000000001 fd000000000000000000000000000002";
const ipv6 = (next: string, rest: string) => summarize(bytes(IPV6.replace("PP", next) + rest));

describe("linux/nflog/packet", () => {
  it("reads addresses, protocol, ports and length of IPv4", () => {
    assert.deepEqual(summarize(bytes(`${IPV4} 9c400050 00000000`)), {
      source: "10.0.0.1",
      destination: "10.0.0.2",
      protocol: 6,
      sourcePort: 40000,
      destinationPort: 80,
      bytes: 84,
    });
  });

  it("finds the ports behind IPv4 options", () => {
    const withOptions = IPV4.replace("45", "46");
    assert.equal(summarize(bytes(`${withOptions} 01010101 9c400050`))?.destinationPort, 80);
  });

  it("reads type and code of ICMP", () => {
    const icmp = IPV4.replace("4006", "4001");
    assert.deepEqual(summarize(bytes(`${icmp} 08000000`))?.icmp, { type: 8, code: 0 });
    assert.deepEqual(ipv6("3a", "80010000")?.icmp, { type: 128, code: 1 });
  });

  it("walks over IPv6's extension headers", () => {
    const hopByHop = "11 00 0000 00000000"; // UDP next, eight bytes
    const summary = ipv6("00", `${hopByHop} 00350036`);
    assert.deepEqual([summary?.protocol, summary?.sourcePort, summary?.destinationPort], [17, 53, 54]);
    assert.equal(summary?.bytes, 72);
  });

  it("takes no ports from a later fragment", () => {
    const fragment = IPV4.replace("4000 4006", "00b9 4006");
    assert.equal(summarize(bytes(`${fragment} 9c400050`))?.destinationPort, undefined);
    assert.equal(ipv6("2c", "06 00 0008 00000000 9c400050")?.destinationPort, undefined);
    assert.equal(ipv6("2c", "06 00 0001 00000000 9c400050")?.destinationPort, 80);
  });

  it("says what it can of a packet that was cut, and nothing of what is none", () => {
    assert.equal(summarize(bytes(`${IPV4} 9c40`))?.destinationPort, undefined);
    assert.equal(summarize(bytes(IPV4))?.destination, "10.0.0.2");
    for (const text of ["", "45", "05000000", IPV4.slice(0, 20)])
      assert.equal(summarize(bytes(text)), undefined);
  });
});
