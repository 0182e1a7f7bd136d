/** Several paths for one prefix (RFC 7911), through us to each daemon and through each daemon to us: a service at two places, and both known beyond a reflector. */

import assert from "node:assert/strict";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const SERVICE = "192.168.1.1/32";

withEachDaemon("add-path", lab => {
  it("of ours: they have every path, and lose the one that goes", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(1), asn: THEIR_AS, addPath: "receive" }],
    });
    const client = { asn: THEIR_AS, reflectorClient: true };
    const reflector = await lab.speaker(
      { asn: THEIR_AS, at: 1 },
      { ...client, address: THEIRS, addPath: { send: "all" } },
      { ...client, address: ours(2) },
      { ...client, address: ours(3) },
    );
    const [, second] = await Promise.all(
      [2, 3].map(async at => {
        const us = await lab.speaker({ asn: THEIR_AS, at }, { address: ours(1), asn: THEIR_AS });
        us.speaker.announce({ prefix: SERVICE, med: at });
        return us;
      }),
    );
    await lab.established(reflector, daemon);
    const paths = async () =>
      (await daemon.received(ours(1)))
        .filter(({ prefix }) => prefix === SERVICE)
        .map(({ nextHop, med, originatorId }) => [nextHop, med, originatorId])
        .sort();
    const both = [
      [ours(2), 2, ours(2)],
      [ours(3), 3, ours(3)],
    ];
    await until("two paths", async () => ((await paths()).length === 2 ? true : undefined));
    assert.deepEqual(await paths(), both);
    second!.speaker.withdraw(SERVICE);
    await until("one path", async () => ((await paths()).length === 1 ? true : undefined));
    assert.deepEqual(await paths(), both.slice(0, 1));
  });

  it("of theirs: we have every path, and lose the one that goes", async () => {
    const client = { asn: THEIR_AS, reflectorClient: true } as const;
    const daemon = await lab.daemon({
      neighbors: [
        { ...client, address: ours(1), addPath: "send" },
        { ...client, address: ours(2) },
        { ...client, address: ours(3) },
      ],
    });
    const us = await lab.speaker(
      { asn: THEIR_AS, at: 1 },
      { address: THEIRS, asn: THEIR_AS, addPath: { receive: true } },
    );
    const [first] = await Promise.all(
      [2, 3].map(async at => {
        const other = await lab.speaker({ asn: THEIR_AS, at }, { address: THEIRS, asn: THEIR_AS });
        other.speaker.announce({ prefix: SERVICE });
        return other;
      }),
    );
    await lab.established(us, daemon);
    const nextHops = () =>
      us.speaker
        .paths(SERVICE)
        .map(({ nextHop }) => nextHop)
        .sort();
    await us.until("two paths", () => nextHops().length === 2 || undefined, 15);
    assert.deepEqual(nextHops(), [ours(2), ours(3)]);
    await us.until("both used", () => us.speaker.route(SERVICE)?.nextHops.length === 2 || undefined);
    first!.speaker.withdraw(SERVICE);
    await us.until("one path", () => nextHops().length === 1 || undefined);
    assert.deepEqual(nextHops(), [ours(3)]);
  });
});
