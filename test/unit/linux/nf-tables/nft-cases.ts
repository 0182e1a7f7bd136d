/**
 * Commands of nft, and what we write for the same. Recorded in goldens.txt by record-goldens.ts, compared without
 * nft by golden.test.ts; test/interop/linux/nf-tables.test.ts asks the nft that is installed, and the kernel.
 */

import type { Batch } from "../../../../linux/nf-tables/batch.ts";
import {
  addressData,
  concatenation,
  firstAddress,
  hostU32,
  interfaceData,
  interfacePrefixData,
  lastAddress,
  macData,
  maskData,
  u8,
  u16,
} from "../../../../linux/nf-tables/data.ts";
import * as x from "../../../../linux/nf-tables/expression.ts";
import type { Chain, Element, NftSet } from "../../../../linux/nf-tables/model.ts";
import { cidr } from "../../../../net/cidr.ts";
import { ip } from "../../../../net/ip.ts";
import { mac } from "../../../../net/mac.ts";

export const TABLE = { family: "ip", name: "t" } as const;
export const TABLE6 = { family: "ip6", name: "t" } as const;

/** What is there before each case. */
export const PREPARATION = `
table ip t {
  set hosts { type ipv4_addr; }
  set nets { type ipv4_addr; flags interval; }
  set ports { type ipv4_addr . inet_proto . inet_service; }
  set port-ranges { type ipv4_addr . inet_proto . inet_service; flags interval; }
  set addresses { type ipv4_addr . inet_service; }
  map dispatch { type ifname : verdict; }
  map marks { type ipv4_addr : mark; }
  map targets { type ipv4_addr : ipv4_addr; }
  chain rules { }
  chain emptied { }
  chain forwarding { type filter hook forward priority filter; policy accept; }
  chain early { type filter hook prerouting priority raw; policy accept; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; }
  chain dnatting { type nat hook prerouting priority dstnat; policy accept; }
}
table ip6 t {
  set hosts { type ipv6_addr; }
  chain rules { }
}
`;

export interface RuleCase {
  readonly nft: string;
  readonly family: "ip" | "ip6";
  readonly chain: string;
  readonly expressions: readonly x.Expression[];
  readonly comment?: string;
}

const rule = (
  statement: string,
  expressions: readonly x.Expression[],
  { family = "ip", chain = "rules" }: { family?: "ip" | "ip6"; chain?: string } = {},
): RuleCase => ({ nft: `add rule ${family} t ${chain} ${statement}`, family, chain, expressions });

const six = { family: "ip6" } as const;
const drop = x.verdict("drop");
const accept = x.verdict("accept");
const source = x.payload("network", 12, 4);
const tcp = [x.meta("l4proto"), x.cmp("eq", u8(6))];
const destinationPort = x.payload("transport", 2, 2);
const v4 = (text: string) => addressData(ip(text));

export const RULES: readonly RuleCase[] = [
  rule("ip saddr 10.0.0.1 drop", [source, x.cmp("eq", v4("10.0.0.1")), drop]),
  rule("ip daddr != 10.0.0.1 drop", [x.payload("network", 16, 4), x.cmp("neq", v4("10.0.0.1")), drop]),
  rule("ip saddr 10.0.0.0/9 drop", [
    source,
    x.bitwise(maskData(cidr("10.0.0.0/9"))),
    x.cmp("eq", firstAddress(cidr("10.0.0.0/9"))),
    drop,
  ]),
  rule(
    "ip6 saddr fe80::/10 accept",
    [
      x.payload("network", 8, 16),
      x.bitwise(maskData(cidr("fe80::/10"))),
      x.cmp("eq", firstAddress(cidr("fe80::/10"))),
      accept,
    ],
    six,
  ),
  rule("ip saddr @hosts counter accept", [source, x.lookup("hosts"), x.counter(), accept]),
  rule("ip saddr != @nets drop", [source, x.lookup("nets", { invert: true }), drop]),
  rule("ip6 daddr @hosts drop", [x.payload("network", 24, 16), x.lookup("hosts"), drop], six),
  rule("ip saddr . tcp sport @addresses drop", [
    ...tcp,
    x.payload("network", 12, 4, 1),
    x.payload("transport", 0, 2, 9),
    x.lookup("addresses"),
    drop,
  ]),
  rule("tcp dport 80 drop", [...tcp, destinationPort, x.cmp("eq", u16(80)), drop]),
  rule("tcp dport 80-90 drop", [...tcp, destinationPort, x.cmp("gte", u16(80)), x.cmp("lte", u16(90)), drop]),
  rule("tcp dport != 80-90 drop", [...tcp, destinationPort, x.range("neq", u16(80), u16(90)), drop]),
  rule("meta l4proto != 17 drop", [x.meta("l4proto"), x.cmp("neq", u8(17)), drop]),
  rule("icmp type 8 icmp code 0 drop", [
    x.meta("l4proto"),
    x.cmp("eq", u8(1)),
    x.payload("transport", 0, 2),
    x.cmp("eq", "0800"),
    drop,
  ]),
  rule("ct state established,related accept", [
    x.ct("state"),
    x.bitwise(hostU32(6)),
    x.cmp("neq", hostU32(0)),
    accept,
  ]),
  rule("ct status dnat accept", [x.ct("status"), x.bitwise(hostU32(32)), x.cmp("neq", hostU32(0)), accept]),
  rule("ct original ip daddr 10.0.0.1 drop", [
    x.ct("dst-ip", { direction: "original" }),
    x.cmp("eq", v4("10.0.0.1")),
    drop,
  ]),
  rule("ct mark set meta mark", [x.meta("mark"), x.setCt("mark")]),
  rule("meta mark & 0x10000 == 0x10000 return", [
    x.meta("mark"),
    x.bitwise(hostU32(0x10000)),
    x.cmp("eq", hostU32(0x10000)),
    x.verdict("return"),
  ]),
  rule("meta mark set meta mark | 0x10000", [
    x.meta("mark"),
    x.bitwise(hostU32(0xfffeffff), hostU32(0x10000)),
    x.setMeta("mark"),
  ]),
  rule("meta mark set meta mark & 0xfffeffff", [
    x.meta("mark"),
    x.bitwise(hostU32(0xfffeffff)),
    x.setMeta("mark"),
  ]),
  rule("meta mark set 0x40000", [x.immediate(hostU32(0x40000)), x.setMeta("mark")]),
  rule("meta mark set ip saddr map @marks", [source, x.mapLookup("marks"), x.setMeta("mark")]),
  rule('iifname "cali1" drop', [x.meta("iifname"), x.cmp("eq", interfaceData("cali1")), drop]),
  rule('oifname != "cali*" goto emptied', [
    x.meta("oifname"),
    x.cmp("neq", interfacePrefixData("cali")),
    x.verdict({ goto: "emptied" }),
  ]),
  rule("jump emptied", [x.verdict({ jump: "emptied" })]),
  rule("oifname vmap @dispatch", [x.meta("oifname"), x.verdictMap("dispatch")], { chain: "forwarding" }),
  rule("ether saddr 02:00:00:00:00:01 drop", [
    x.meta("iiftype"),
    x.cmp("eq", "0100"),
    x.payload("link", 6, 6),
    x.cmp("eq", macData(mac("02:00:00:00:00:01"))),
    drop,
  ]),
  rule("limit rate 10/second burst 7 packets accept", [x.limit({ rate: 10n, burst: 7 }), accept]),
  rule("limit rate over 10 kbytes/minute drop", [
    x.limit({ rate: 10240n, per: "bytes", seconds: 60n, over: true }),
    drop,
  ]),
  rule("ct count over 10 drop", [x.connectionLimit(10, { over: true }), drop]),
  rule('log prefix "calico-packet: " level notice', [x.logToKernel("calico-packet: ", 5)]),
  rule('log prefix "APE0|np/default/web" group 2 snaplen 80', [x.logToGroup(2, "APE0|np/default/web", 80)]),
  rule("reject with icmp type port-unreachable", [x.rejectIcmp(3)]),
  rule("reject with icmpv6 type port-unreachable", [x.rejectIcmp(4)], six),
  rule("meta l4proto 6 reject with tcp reset", [...tcp, x.rejectTcp()]),
  rule("notrack", [x.notrack()], { chain: "early" }),
  rule(
    "fib saddr . mark . iif oif missing drop",
    [
      x.fib("oif", x.FibFlag.SADDR | x.FibFlag.MARK | x.FibFlag.IIF | x.FibFlag.PRESENT),
      x.cmp("eq", hostU32(0)),
      drop,
    ],
    { chain: "early" },
  ),
  rule("fib daddr type local accept", [x.fib("addrtype", x.FibFlag.DADDR), x.cmp("eq", hostU32(2)), accept], {
    chain: "early",
  }),
  rule("masquerade", [x.masquerade()], { chain: "postrouting" }),
  rule(
    "meta l4proto 6 masquerade to :1000-2000 fully-random",
    [
      ...tcp,
      x.immediate(u16(1000), 1),
      x.immediate(u16(2000), 2),
      x.masquerade({ portMin: 1, portMax: 2, flags: x.NatFlag.PROTO_RANDOM_FULLY }),
    ],
    { chain: "postrouting" },
  ),
  rule("snat to 10.0.0.1", [x.immediate(v4("10.0.0.1")), x.nat("snat", "ip", { addressMin: 1 })], {
    chain: "postrouting",
  }),
  rule(
    "snat to 10.0.0.1-10.0.0.9",
    [
      x.immediate(v4("10.0.0.1"), 1),
      x.immediate(v4("10.0.0.9"), 2),
      x.nat("snat", "ip", { addressMin: 1, addressMax: 2 }),
    ],
    { chain: "postrouting" },
  ),
  rule(
    "meta l4proto 6 snat to 10.0.0.1:1000-2000",
    [
      ...tcp,
      x.immediate(v4("10.0.0.1"), 1),
      x.immediate(u16(1000), 2),
      x.immediate(u16(2000), 3),
      x.nat("snat", "ip", { addressMin: 1, portMin: 2, portMax: 3 }),
    ],
    { chain: "postrouting" },
  ),
  rule(
    "dnat to ip daddr map @targets",
    [x.payload("network", 16, 4), x.mapLookup("targets"), x.nat("dnat", "ip", { addressMin: 1 })],
    { chain: "dnatting" },
  ),
  rule("ip dscp set 0x2e", [
    x.payload("network", 0, 2),
    x.bitwise("ff03", "00b8"),
    x.setPayload("network", 0, 2, { checksumOffset: 10 }),
  ]),
  rule(
    "ip6 dscp set 0x2e",
    [x.payload("network", 0, 2), x.bitwise("f03f", "0b80"), x.setPayload("network", 0, 2)],
    six,
  ),
  { ...rule("accept", [accept]), nft: 'add rule ip t rules accept comment "why"', comment: "why" },
];

export interface ObjectCase {
  readonly nft: string;
  readonly build: (batch: Batch) => void;
}

const set = (nft: string, is: NftSet): ObjectCase => ({
  nft: `add ${nft}`,
  build: batch => batch.addSet(TABLE, is),
});
const chain = (nft: string, is: Chain): ObjectCase => ({
  nft: `add chain ip t ${nft}`,
  build: batch => batch.addChain(TABLE, is),
});
const elements = (nft: string, is: NftSet, list: readonly Element[]): ObjectCase => ({
  nft: `add element ip t ${nft}`,
  build: batch => batch.addElements(TABLE, is, list),
});

const ports = ["ipv4_addr", "inet_proto", "inet_service"] as const;
const portKey = (address: string, port: number) => concatenation(v4(address), u8(6), u16(port));

export const OBJECTS: readonly ObjectCase[] = [
  { nft: "add table ip new", build: b => b.addTable({ family: "ip", name: "new", flags: 0 }) },
  { nft: "delete table ip6 t", build: b => b.deleteTable(TABLE6) },
  chain("plain", { name: "plain" }),
  chain("base { type filter hook input priority -10; policy drop; }", {
    name: "base",
    base: { type: "filter", hook: "input", priority: -10, policy: "drop" },
  }),
  chain("mangle { type route hook output priority mangle; policy accept; }", {
    name: "mangle",
    base: { type: "route", hook: "output", priority: -150, policy: "accept" },
  }),
  { nft: "delete chain ip t emptied", build: b => b.deleteChain(TABLE, "emptied") },
  { nft: "flush chain ip t emptied", build: b => b.flushChain(TABLE, "emptied") },
  set("set ip t s { type ipv4_addr; }", { name: "s", key: ["ipv4_addr"] }),
  set("set ip t s { type ipv4_addr; flags interval; }", { name: "s", key: ["ipv4_addr"], interval: true }),
  set("set ip t s { type ipv4_addr; size 1000; }", { name: "s", key: ["ipv4_addr"], size: 1000 }),
  set("set ip t s { type ipv4_addr . inet_proto . inet_service; }", { name: "s", key: ports }),
  set("set ip t s { type ipv4_addr . inet_proto . inet_service; flags interval; }", {
    name: "s",
    key: ports,
    interval: true,
  }),
  set("set ip t s { type ifname . ipv4_addr; }", { name: "s", key: ["ifname", "ipv4_addr"] }),
  set("set ip t s { type ipv6_addr; counter; }", { name: "s", key: ["ipv6_addr"], counters: true }),
  set("map ip t s { type ifname : verdict; }", { name: "s", key: ["ifname"], data: "verdict" }),
  set("map ip t s { type ct_state : verdict; }", { name: "s", key: ["ct_state"], data: "verdict" }),
  set("map ip t s { type ipv4_addr : mark; }", { name: "s", key: ["ipv4_addr"], data: "mark" }),
  set("map ip t s { type ipv4_addr : ipv4_addr; }", { name: "s", key: ["ipv4_addr"], data: "ipv4_addr" }),
  elements("hosts { 10.0.0.1, 10.0.0.2 }", { name: "hosts", key: ["ipv4_addr"] }, [
    { key: v4("10.0.0.1") },
    { key: v4("10.0.0.2") },
  ]),
  elements("ports { 10.0.0.1 . tcp . 80 }", { name: "ports", key: ports }, [
    { key: portKey("10.0.0.1", 80) },
  ]),
  elements("port-ranges { 10.0.0.0/24 . tcp . 80-90 }", { name: "port-ranges", key: ports, interval: true }, [
    { key: portKey("10.0.0.0", 80), keyEnd: portKey("10.0.0.255", 90) },
  ]),
  elements(
    'dispatch { "cali1" : goto rules, "cali2" : drop }',
    { name: "dispatch", key: ["ifname"], data: "verdict" },
    [
      { key: interfaceData("cali1"), verdict: { goto: "rules" } },
      { key: interfaceData("cali2"), verdict: "drop" },
    ],
  ),
  elements("marks { 10.0.0.1 : 0x55 }", { name: "marks", key: ["ipv4_addr"], data: "mark" }, [
    { key: v4("10.0.0.1"), data: hostU32(0x55) },
  ]),
  // From 0.0.0.0 on: before any other first element, nft adds the end of nothing, which the kernel does not need.
  elements("nets { 0.0.0.0/8, 10.0.0.1-10.0.0.9 }", { name: "nets", key: ["ipv4_addr"], interval: true }, [
    { key: firstAddress(cidr("0.0.0.0/8")), keyEnd: lastAddress(cidr("0.0.0.0/8")) },
    { key: v4("10.0.0.1"), keyEnd: v4("10.0.0.9") },
  ]),
];
