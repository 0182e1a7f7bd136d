/** TCP MD5 (RFC 2385) and GTSM (RFC 5082) with other people's daemons. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { DaemonNeighbor } from "../kit/daemons/daemon.ts";
import {
  type LabSpeaker,
  ours,
  ours6,
  THEIR_AS,
  THEIRS,
  THEIRS6,
  withEachDaemon,
} from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
const SECRET = "correct horse battery staple".replaceAll(" ", "-");

withEachDaemon("TCP MD5", lab => {
  it("lets in who knows the password, whoever dials, over IPv4 and IPv6", async () => {
    const their = { asn: OUR_AS, password: SECRET };
    const daemon = await lab.daemon({
      neighbors: [
        { ...their, address: ours(1), passive: true },
        { ...their, address: ours(2) },
        { ...their, address: ours6(3) },
      ],
    });
    const our = { asn: THEIR_AS, password: SECRET };
    const [weDial, theyDial, overIpv6] = await Promise.all([
      lab.speaker({ asn: OUR_AS, at: 1 }, { ...our, address: THEIRS }),
      lab.speaker({ asn: OUR_AS, at: 2 }, { ...our, address: THEIRS, passive: true }),
      lab.speaker({ asn: OUR_AS, at: 3 }, { ...our, address: THEIRS6 }),
    ]);
    await lab.established(weDial, daemon);
    await lab.established(theyDial, daemon, { ours: ours(2) });
    await lab.established(overIpv6, daemon, { ours: ours6(3), theirs: THEIRS6 });
  });

  it("keeps out who has another one, or none where one is wanted, until that is put right on either side", async () => {
    const neighbors: DaemonNeighbor[] = [
      { address: ours(1), asn: OUR_AS, password: SECRET },
      { address: ours(2), asn: OUR_AS, password: "guess" },
      { address: ours(3), asn: OUR_AS },
      { address: ours(4), asn: OUR_AS, password: SECRET },
    ];
    const daemon = await lab.daemon({ neighbors });
    const neighbor = { address: THEIRS, asn: THEIR_AS };
    const [guessing, guessed, demanding, silent] = await Promise.all([
      lab.speaker({ asn: OUR_AS, at: 1 }, { ...neighbor, password: "guess" }),
      lab.speaker({ asn: OUR_AS, at: 2 }, { ...neighbor, password: SECRET }),
      lab.speaker({ asn: OUR_AS, at: 3 }, { ...neighbor, password: SECRET }),
      lab.speaker({ asn: OUR_AS, at: 4 }, neighbor),
    ]);
    const all = [guessing, guessed, demanding, silent];
    for (const us of all) await us.until("two attempts", () => attempts(us) >= 2 || undefined);
    for (const us of all) assert.ok(!us.events.some(({ state }) => state === "OpenSent"), us.report());
    const sessions = await daemon.sessions();
    assert.ok([...sessions.values()].every(({ isEstablished }) => !isEstablished));

    guessing.speaker.updateNeighbor(lab.neighbor({ ...neighbor, password: SECRET }, 1));
    demanding.speaker.updateNeighbor(lab.neighbor(neighbor, 3));
    silent.speaker.updateNeighbor(lab.neighbor({ ...neighbor, password: SECRET }, 4));
    await daemon.setNeighbors(
      neighbors.map(options => (options.address === ours(2) ? { ...options, password: SECRET } : options)),
    );
    for (const [i, us] of all.entries())
      await lab.established(us, daemon, { ours: ours(i + 1), seconds: 25 });
  });

  it("takes another key at run time: down where one side has it, up again where both have", async () => {
    const their = { address: ours(), asn: OUR_AS };
    const our = { address: THEIRS, asn: THEIR_AS };
    const daemon = await lab.daemon({ neighbors: [{ ...their, password: "old" }] });
    const us = await lab.speaker({ asn: OUR_AS }, { ...our, password: "old" });
    await lab.established(us, daemon);
    us.speaker.updateNeighbor(lab.neighbor({ ...our, password: "new" }));
    const before = us.events.length;
    await us.until("two attempts", () => attempts(us, before) >= 2 || undefined);
    assert.ok(!us.events.slice(before).some(({ state }) => state === "OpenSent"), us.report());
    await daemon.setNeighbors([{ ...their, password: "new" }]);
    await lab.established(us, daemon, { seconds: 25 });
  });
});

withEachDaemon("GTSM", lab => {
  it("is up where both ask for it, over IPv4 and IPv6, whoever dials", async () => {
    const their = { asn: OUR_AS, ttlSecurity: true };
    // gobgp takes up to ten seconds to dial; that its dials come through is seen with TCP MD5.
    const passive = lab.name !== "gobgp";
    const daemon = await lab.daemon({
      neighbors: [
        { ...their, address: ours(1), passive: true },
        { ...their, address: ours(2) },
        { ...their, address: ours6(3) },
      ],
    });
    const our = { asn: THEIR_AS, ttlSecurity: 1 };
    const [weDial, theyDial, overIpv6] = await Promise.all([
      lab.speaker({ asn: OUR_AS, at: 1 }, { ...our, address: THEIRS }),
      lab.speaker({ asn: OUR_AS, at: 2 }, { ...our, address: THEIRS, passive }),
      lab.speaker({ asn: OUR_AS, at: 3 }, { ...our, address: THEIRS6 }),
    ]);
    await lab.established(weDial, daemon);
    await lab.established(theyDial, daemon, { ours: ours(2) });
    await lab.established(overIpv6, daemon, { ours: ours6(3), theirs: THEIRS6 });
  });

  it("keeps out who sends with another TTL, on either side", async () => {
    const daemon = await lab.daemon({
      neighbors: [
        { address: ours(1), asn: OUR_AS },
        { address: ours(2), asn: OUR_AS, ttlSecurity: true },
      ],
    });
    const neighbor = { address: THEIRS, asn: THEIR_AS };
    const wanting = await lab.speaker({ asn: OUR_AS, at: 1 }, { ...neighbor, ttlSecurity: 1 });
    await until("a packet of theirs to be dropped", () => dropsForTtl(process.pid) > 0 || undefined);
    const wanted = await lab.speaker({ asn: OUR_AS, at: 2 }, neighbor);
    await until("a packet of ours to be dropped", () => dropsForTtl(daemon.main.pid!) > 0 || undefined);
    assert.ok(!wanting.events.some(({ state }) => state === "OpenConfirm"), wanting.report());
    // gobgp asks for the TTL only once it has accepted: our OPEN may be in by then, and its answer ends our side of the handshake; not its own.
    if (lab.name !== "gobgp")
      assert.ok(!wanted.events.some(({ state }) => state === "Established"), wanted.report());
    const sessions = await daemon.sessions();
    assert.ok([...sessions.values()].every(({ isEstablished }) => !isEstablished));
  });
});

/** Segments the kernel has dropped for their TTL, in the namespace of a process. */
function dropsForTtl(pid: number): number {
  const lines = readFileSync(`/proc/${pid}/net/netstat`, "utf8").split("\n");
  const [names = [], values = []] = lines
    .filter(line => line.startsWith("TcpExt"))
    .map(line => line.split(" "));
  return Number(values[names.indexOf("TCPMinTTLDrop")]);
}

/** Attempts that have come to nothing. */
function attempts(us: LabSpeaker, since = 0): number {
  return us.events
    .slice(since)
    .filter(({ state, previous }) => previous === "Connect" && state !== "OpenSent").length;
}
