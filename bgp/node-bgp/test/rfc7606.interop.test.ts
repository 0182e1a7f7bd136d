/**
 * RFC 7606 on a live session: exabgp sends every case of kit/rfc7606-cases.ts, and what the RFC demands must have become of the
 * route and of the session. Each case begins with the route announced soundly, with a MED of its own, and ends with a marker
 * route: when that has come, the case has been dealt with. Needs root and exabgp.
 */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { NeighborOptions, PathAttributes, RouteChange } from "../index.ts";
import { ExaBgp } from "./kit/exabgp.ts";
import { Cable, until } from "./kit/namespaces.ts";
import {
  MALFORMED_CASES,
  type MalformedCase,
  SOUND,
  SOUND_TWO_OCTET,
  SOUND6,
  updateBody,
} from "./kit/rfc7606-cases.ts";

const OUR_ASN = 65001;
const OLD_MED = 999;

class Session {
  readonly cable = new Cable();
  readonly exabgp: ExaBgp;
  /** Attributes nothing is wrong with. */
  readonly sound: string;
  readonly #speaker: ChildProcess;
  readonly routes = new Map<string, PathAttributes>();
  state = "Idle";
  error: { code?: number; subcode?: number; text: string } | undefined;
  problems: string[] = [];
  resets = 0;
  readonly #neighbor: NeighborOptions;
  #holdTime = 90;
  #marker = 0;

  constructor({ external = false, twoOctet = false }: Pick<MalformedCase, "external" | "twoOctet">) {
    this.sound = twoOctet ? SOUND_TWO_OCTET : SOUND;
    const asn = external ? 64512 : OUR_ASN;
    this.exabgp = new ExaBgp(this.cable, { asn, peerAsn: OUR_ASN, fourOctetAs: !twoOctet });
    this.#neighbor = {
      address: "10.99.0.2",
      asn,
      connectRetryTime: 1,
      families: ["ipv4-unicast", "ipv6-unicast"],
      gracefulRestartTime: 0,
    };
    const setup = {
      speaker: { asn: OUR_ASN, routerId: "10.99.0.1" },
      neighbors: [this.#neighbor],
      routes: [],
    };
    const program = join(import.meta.dirname, "kit/speaker-process.ts");
    this.#speaker = this.cable.spawn(
      this.cable.left,
      process.execPath,
      [program, JSON.stringify(setup)],
      "inherit",
    );
    createInterface({ input: this.#speaker.stdout! }).on("line", line => this.#hear(JSON.parse(line)));
  }

  established(): Promise<true> {
    return until("Established", () => (this.state === "Established" ? true : undefined));
  }

  /** A new session whose speaker has forgotten the failures of the old one. */
  async renew(): Promise<void> {
    const before = this.resets;
    const neighbor = { ...this.#neighbor, holdTime: ++this.#holdTime };
    this.#speaker.stdin!.write(`${JSON.stringify({ do: "update", neighbor })}\n`);
    if (this.state === "Established") {
      await until("the old session's end", () => (this.resets > before ? true : undefined));
    }
    await this.established();
  }

  /** Everything exabgp was given before has been read by the speaker when this returns. */
  async settled(): Promise<void> {
    const marker = `203.0.113.${++this.#marker % 256}`;
    const octets = marker.split(".").map(part => Number(part).toString(16).padStart(2, "0"));
    this.routes.delete(`${marker}/32`);
    const med = this.#marker.toString(16).padStart(8, "0");
    this.exabgp.send(
      updateBody({ attributes: `${this.sound} 800404 ${med}`, nlri: `20 ${octets.join("")}` }),
    );
    await until(`the marker ${marker}`, () => this.routes.get(`${marker}/32`));
  }

  async stop(): Promise<void> {
    await this.exabgp.stop();
    this.cable.remove();
  }

  #hear(event: {
    event: string;
    state: string;
    error?: { code?: number; subcode?: number; text: string };
    problems?: { action: string }[];
    changes: RouteChange[];
  }): void {
    if (event.event === "neighbor") {
      if (this.state === "Established" && event.state !== "Established") {
        this.resets++;
        this.error = event.error;
      }
      this.state = event.state;
    } else if (event.event === "warning") this.problems.push(...event.problems!.map(({ action }) => action));
    else if (event.event === "routes") {
      for (const { prefix, best } of event.changes) {
        if (best === null) this.routes.delete(prefix);
        else this.routes.set(prefix, best);
      }
    }
  }
}

async function play(session: Session, test: MalformedCase): Promise<void> {
  const prefix = test.ipv6 ? "fd00:1::/32" : "192.168.1.0/24";
  const attributes = test.ipv6 ? SOUND6 : session.sound;
  const sound = `${attributes} 800404 ${OLD_MED.toString(16).padStart(8, "0")}`;
  session.exabgp.send(updateBody({ attributes: sound, ...(test.ipv6 ? { nlri: "" } : {}) }));
  await until(`${prefix} announced`, () => (session.routes.get(prefix)?.med === OLD_MED ? true : undefined));
  session.problems = [];
  const { resets } = session;
  session.exabgp.notifications.length = 0;
  session.exabgp.send(updateBody(test));

  if (test.outcome.startsWith("reset")) {
    await until("the session's end", () => (session.resets > resets ? true : undefined));
    assert.equal(`reset ${session.error?.subcode}`, test.outcome);
    assert.equal(session.error?.code, 3);
    const subcode = session.error?.subcode;
    await until("exabgp's sight of the NOTIFICATION", () =>
      session.exabgp.notifications.some(seen => seen.code === 3 && seen.subcode === subcode)
        ? true
        : undefined,
    );
    await session.renew();
    assert.ok(!session.routes.has(prefix), "the route of the session that was reset is still there");
    return;
  }
  await session.settled();
  assert.equal(session.resets, resets, session.error?.text);
  const route = session.routes.get(prefix);
  if (test.outcome === "withdraw") {
    assert.equal(route, undefined);
    assert.ok(session.problems.includes("withdraw"));
  } else if (test.outcome === "disable") {
    assert.equal(route, undefined);
    session.exabgp.send(updateBody({ attributes: SOUND6, nlri: "" }));
    await session.settled();
    assert.ok(!session.routes.has(prefix), "a disabled family is listened to");
    await session.renew();
  } else {
    const isAbout = test.nlri !== "" || test.attributes.includes("800e1a");
    assert.equal(route?.med, isAbout ? undefined : OLD_MED, "the old route is still there");
    assert.equal(session.problems.includes("discard"), test.outcome === "discard");
    if (test.outcome !== "discard") return;
    assert.equal(route?.origin, "igp");
    assert.equal(route?.atomicAggregate, undefined);
    assert.equal(route?.aggregator, undefined);
  }
}

for (const [from, kind] of [
  ["a neighbor of our AS", {}],
  ["an external neighbor", { external: true }],
  ["a neighbor without four-byte AS numbers", { twoOctet: true }],
] as const) {
  describe(`exabgp, ${from}, sends (RFC 7606)`, () => {
    let session: Session;
    before(async () => {
      session = new Session(kind);
      await session.established();
    });
    after(() => session?.stop());

    const { external = false, twoOctet = false } = { ...kind } as MalformedCase;
    for (const test of MALFORMED_CASES) {
      if ((test.external ?? false) !== external || (test.twoOctet ?? false) !== twoOctet) continue;
      it(`${test.what} (${test.section}): ${test.outcome}`, () => play(session, test));
    }
  });
}
