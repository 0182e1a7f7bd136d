import assert from "node:assert/strict";
import fc from "fast-check";
import { InvalidRuleError } from "../errors.ts";
import { portSlots } from "../match.ts";
import { quote, splitWords } from "../quote.ts";
import { type Rule, rule } from "../rule.ts";
import { target } from "../target.ts";

describe("a rule's text", () => {
  const cases: [Rule, string][] = [
    [rule(), ""],
    [rule().accept(), "-j ACCEPT"],
    [rule().inInterface("cali+").drop(), "-i cali+ -j DROP"],
    [rule().not.inInterface("eth0").outInterface("tunl0").return(), "! -i eth0 -o tunl0 -j RETURN"],
    [rule().protocol("tcp").not.protocol(4), "-p tcp ! -p 4"],
    [rule().source("10.0.0.0/8").not.destination("fe80::/10"), "-s 10.0.0.0/8 ! -d fe80::/10"],
    [
      rule()
        .protocol("udp")
        .sourcePorts([53])
        .not.destinationPorts([80, [8000, 8080]])
        .accept(),
      "-p udp -m multiport --source-ports 53 -m multiport ! --destination-ports 80,8000:8080 -j ACCEPT",
    ],
    [
      rule().sourceSet("cali40a").not.destinationSet("cali40b").matchSet("cali40c", "dst,dst"),
      "-m set --match-set cali40a src -m set ! --match-set cali40b dst -m set --match-set cali40c dst,dst",
    ],
    [rule().mark(0x10000, 0x30000), "-m mark --mark 0x10000/0x30000"],
    [rule().not.mark(0x10000), "-m mark ! --mark 0x10000/0xffffffff"],
    [rule().markSet(0x80000000), "-m mark --mark 0x80000000/0x80000000"],
    [rule().markClear(0x20000), "-m mark --mark 0x0/0x20000"],
    [
      rule().conntrackState("RELATED", "ESTABLISHED").accept(),
      "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ],
    [rule().not.conntrackState("DNAT"), "-m conntrack ! --ctstate DNAT"],
    [rule().conntrackTuple("ctorigdst", "10.0.0.1"), "-m conntrack --ctorigdst 10.0.0.1"],
    [rule().conntrackTuple("ctorigdstport", 80), "-m conntrack --ctorigdstport 80"],
    [rule().protocol("icmp").icmp(8), "-p icmp -m icmp --icmp-type 8"],
    [rule().protocol("icmpv6").not.icmpv6(1, 4), "-p icmpv6 -m icmp6 ! --icmpv6-type 1/4"],
    [
      rule().not.sourceType("LOCAL", "out").sourceType("LOCAL").masquerade({ randomFully: true }),
      "-m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE --random-fully",
    ],
    [rule().destinationType("LOCAL"), "-m addrtype --dst-type LOCAL"],
    [rule().not.reversePath({ validMark: true }).drop(), "-m rpfilter --validmark --invert -j DROP"],
    [rule().limit({ count: 10, per: "second", burst: 5 }), "-m limit --limit 10/second --limit-burst 5"],
    [
      rule().not.hashLimit({ name: "pkt", count: 100, per: "second", by: ["srcip"] }),
      "-m hashlimit --hashlimit-above 100/second --hashlimit-mode srcip --hashlimit-name pkt",
    ],
    [rule().protocol("tcp").tcpSyn(), "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"],
    [rule().comment('said "no"').drop(), '-m comment --comment "said \\"no\\"" -j DROP'],
    [rule().raw("-m", "time", "--timestart", "08:00"), "-m time --timestart 08:00"],
    [rule().reject("tcp-reset"), "-j REJECT --reject-with tcp-reset"],
    [rule().jump("cali-x"), "-j cali-x"],
    [rule().goto("cali-x"), "-g cali-x"],
    [rule().log({ prefix: "calico: ", level: "notice" }), '-j LOG --log-prefix "calico: " --log-level 5'],
    [rule().setMark(0x10000), "-j MARK --set-xmark 0x10000/0x10000"],
    [rule().clearMark(0xe0000), "-j MARK --set-xmark 0x0/0xe0000"],
    [rule().saveConnmark(0xff), "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff"],
    [rule().restoreConnmark(), "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"],
    [
      rule()
        .protocol("tcp")
        .masquerade({ toPorts: [1024, 65535] }),
      "-p tcp -j MASQUERADE --to-ports 1024-65535",
    ],
    [rule().snat("10.0.0.1", { randomFully: true }), "-j SNAT --to-source 10.0.0.1 --random-fully"],
    [rule().dnat("10.0.0.1", 80), "-j DNAT --to-destination 10.0.0.1:80"],
    [rule().dnat("fd00::1", 80), "-j DNAT --to-destination [fd00::1]:80"],
    [rule().notrack(), "-j CT --notrack"],
    [
      rule().nflog({ group: 1, prefix: "DPI|x", size: 80 }),
      '-j NFLOG --nflog-group 1 --nflog-prefix "DPI|x" --nflog-size 80',
    ],
    [rule().to(target("TEE", "--gateway", "10.0.0.1")), "-j TEE --gateway 10.0.0.1"],
  ];
  for (const [value, text] of cases) it(text || "(empty)", () => assert.equal(value.text, text));
});

describe("a rule", () => {
  it("is not changed by what is built upon it", () => {
    const base = rule().protocol("tcp");
    base.source("10.0.0.1").drop();
    assert.equal(base.text, "-p tcp");
  });

  it("negates one match, not the ones after it", () => {
    assert.equal(rule().not.inInterface("a").outInterface("b").text, "! -i a -o b");
  });

  it("names the chain it leads to, so that chains can be counted", () => {
    assert.equal(rule().jump("cali-a").target?.chain, "cali-a");
    assert.equal(rule().drop().target?.chain, undefined);
  });

  it("refuses what no kernel would take", () => {
    const bad: (() => unknown)[] = [
      () => rule().inInterface("a-name-of-17-char"),
      () => rule().inInterface("a b"),
      () => rule().inInterface(""),
      () => rule().protocol(256),
      () => rule().protocol("tcp -j ACCEPT"),
      () => rule().source("10.0.0.0/8 -j ACCEPT"),
      () => rule().destinationPorts([]),
      () => rule().destinationPorts([65536]),
      () => rule().destinationPorts([[90, 80]]),
      () => rule().sourcePorts([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, [15, 16]]),
      () => rule().sourceSet("a".repeat(32)),
      () => rule().jump("a".repeat(29)),
      () => rule().jump("-F"),
      () => rule().icmp(256),
      () => rule().icmp(8, 256),
      () => rule().raw("a\nb"),
      () => rule().conntrackState(),
    ];
    for (const build of bad) assert.throws(build, InvalidRuleError, build.toString());
  });

  it("counts a range as two of the fifteen port slots", () => {
    assert.equal(portSlots([1, [2, 3], 4]), 4);
    rule().sourcePorts([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, [14, 15]]);
  });

  it("cuts texts for people instead of refusing them", () => {
    assert.equal(rule().comment("x".repeat(300)).text, `-m comment --comment "${"x".repeat(255)}"`);
    assert.equal(splitWords(rule().comment("ü".repeat(300)).text)[3], "ü".repeat(127));
    assert.equal(rule().log({ prefix: "y".repeat(40) }).text, `-j LOG --log-prefix "${"y".repeat(29)}"`);
  });
});

describe("words", () => {
  it("come back as they went in", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), words => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly what must not pass
        const clean = words.map(w => w.replace(/[\u0000-\u001f\u007f]/g, ""));
        assert.deepEqual(splitWords(clean.map(quote).join(" ")), clean);
      }),
    );
  });

  it("never break out of their line or their word, whatever a comment says", () => {
    fc.assert(
      fc.property(fc.uint16Array({ maxLength: 300 }), units => {
        const text = String.fromCharCode(...units, ...units.map(u => u & 127));
        const rendered = rule().comment(text).drop().text;
        assert.ok(rendered.endsWith(" -j DROP"));
        assert.equal(splitWords(rendered).length, 6);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly what must not pass
        assert.doesNotMatch(rendered, /[\u0000-\u001f]/);
      }),
    );
  });
});
