/** `calctl bgp` against speakers in a simulated network, over a real socket. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Speaker } from "node-bgp";
import { EVERYTHING, Lab, type LabSpeaker, stateOf } from "../../../../bgp/node-bgp/test/kit/lab.ts";
import { type BgpSource, type ExplainedAnswer, serveQueries } from "../../../../bgp/queries.ts";
import { elapsed } from "../../../../calctl/commands/bgp/elapsed.ts";
import { explanation } from "../../../../calctl/commands/bgp/explain.ts";
import { serveStatus } from "../../../../daemon/status-server.ts";
import { Cluster } from "../harness.ts";

const RR = "192.0.2.1";
const A = "192.0.2.2";
const TOR = "192.0.2.3";

describe("calctl bgp", () => {
  const folder = mkdtempSync(join(tmpdir(), "calctl-bgp-"));
  const socket = join(folder, "bgp.sock");
  const source: BgpSource & { speaker: Speaker | undefined } = {
    speaker: undefined,
    routerId: RR,
    startedAt: 0,
    configuredAt: 0,
    origin: address => (address === A ? { name: "Mesh_192_0_2_2", source: "mesh" } : {}),
  };
  let server: { close(): Promise<void> };
  let lab: Lab;
  let rr: LabSpeaker;
  let a: LabSpeaker;
  let tor: LabSpeaker;

  before(async () => {
    server = await serveStatus(
      {
        liveness: () => undefined,
        readiness: () => undefined,
        status: () => ({}),
        serve: (request, response) => serveQueries(source, request, response),
      },
      { path: socket },
    );
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  beforeEach(async () => {
    lab = new Lab();
    rr = lab.speaker(RR, 64512);
    a = lab.speaker(A, 64512);
    tor = lab.speaker(TOR, 65001);
    rr.addNeighbor({ address: A, asn: 64512, reflectorClient: true });
    rr.addNeighbor({ address: TOR, asn: 65001, description: "rack 4", ...EVERYTHING });
    a.addNeighbor({ address: RR, asn: 64512 });
    tor.addNeighbor({ address: RR, asn: 64512, ...EVERYTHING });
    a.announce({ prefix: "10.0.2.0/24", localPref: 200, communities: ["64512:7"] });
    a.announce({ prefix: "10.0.0.0/8" });
    tor.announce({ prefix: "10.0.0.0/8", med: 5 });
    rr.announce({ prefix: "fd00:9::/64" });
    await lab.start(rr, a, tor);
    lab.advance(10);
    source.speaker = rr;
  });

  const calctl = (...argv: string[]) => new Cluster().calctl(["bgp", ...argv, "--socket", socket]);
  async function rows(...argv: string[]): Promise<string[]> {
    const { code, stdout, stderr } = await calctl(...argv);
    assert.equal(code, 0, stderr);
    return stdout
      .trimEnd()
      .split("\n")
      .map(line => line.trim().replace(/ +/g, " "));
  }

  it("peers: who they are, in which state, how many prefixes", async () => {
    const [heading, ...lines] = await rows("peers");
    assert.equal(heading, "NEIGHBOR AS NAME STATE SINCE RECEIVED ADVERTISED");
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /^192\.0\.2\.2 64512 Mesh_192_0_2_2 Established \S+ 2 /);
    assert.match(lines[1]!, /^192\.0\.2\.3 65001 rack 4 Established \S+ 1 /);
    const json = JSON.parse((await calctl("peers", "-o", "json")).stdout);
    assert.deepEqual(
      json.map(({ address, name, source }: Record<string, unknown>) => ({ address, name, source })),
      [
        { address: A, name: "Mesh_192_0_2_2", source: "mesh" },
        { address: TOR, name: undefined, source: undefined },
      ],
    );
    assert.match((await calctl("peers", "-o", "yaml")).stdout, /^- address: 192\.0\.2\.2$/m);
  });

  it("peers -o wide: also why the last session ended", async () => {
    a.resetNeighbor(RR, "moved");
    lab.advance(0.01);
    assert.match((await rows("peers", "-o", "wide"))[1]!, /Cease\/Administrative Reset \(moved\)$/);
  });

  it("neighbor: all of one", async () => {
    const lines = await rows("neighbor", TOR);
    assert(lines.includes("AS: 65001 (external, ours is 64512)"));
    assert(lines.includes("Name: rack 4"));
    assert(lines.includes("Sessions: 1 so far, 0 of them lost"));
    assert(lines.includes("Capabilities: multiprotocol: ipv4-unicast"));
    assert(lines.includes("four-octet-as: 65001"));
    assert(
      lines.some(line =>
        /^graceful-restart: 120 s, also on NOTIFICATION, ipv4-unicast forwarding kept$/.test(line),
      ),
      lines.join("\n"),
    );
    rr.resetNeighbor(TOR, "why not");
    lab.advance(60);
    const after = await rows("neighbor", TOR);
    assert.match(after.join("\n"), /^Session ended: Cease\/Administrative Reset \(why not\), .* ago/m);
    assert.match(after.join("\n"), /^History: .*OpenConfirm -> Established$/m);
    const unknown = await calctl("neighbor", "192.0.2.99");
    assert.deepEqual([unknown.code, unknown.stderr], [1, "there is no neighbor 192.0.2.99\n"]);
  });

  it("routes: the best path of each prefix", async () => {
    const [heading, ...lines] = await rows("routes");
    assert.equal(heading, "PREFIX NEXT HOP FROM LOCPREF MED AS PATH ORIGIN");
    assert.deepEqual(lines.sort(), [
      "> 10.0.0.0/8 192.0.2.2 192.0.2.2 100 igp",
      "> 10.0.2.0/24 192.0.2.2 192.0.2.2 200 igp",
      "> fd00:9::/64 self local igp",
    ]);
    assert.equal((await rows("routes", "--family", "ipv6")).length, 2);
    assert.match((await rows("routes", "-o", "wide")).join(), /64512:7/);
  });

  it("routes PREFIX: every path; an address finds the longest prefix", async () => {
    assert.deepEqual((await rows("routes", "10.0.0.0/8")).slice(1), [
      "> 10.0.0.0/8 192.0.2.2 192.0.2.2 100 igp",
      "10.0.0.0/8 192.0.2.3 192.0.2.3 5 65001 igp",
    ]);
    const found = JSON.parse((await calctl("routes", "10.0.2.9", "-o", "json")).stdout);
    assert.deepEqual(
      found.map(({ prefix, best }: { prefix: string; best: boolean }) => [prefix, best]),
      [["10.0.2.0/24", true]],
    );
    assert.equal((await calctl("routes", "192.168.0.0/16", "-o", "json")).stdout, "[]\n");
    assert.equal((await calctl("routes", "10.0.0.0.0")).code, 1);
  });

  it("routes --received and --advertised: both sides of one neighbor", async () => {
    assert.deepEqual((await rows("routes", "--received", TOR)).slice(1), [
      "10.0.0.0/8 192.0.2.3 192.0.2.3 5 65001 igp",
    ]);
    assert.deepEqual((await rows("routes", "--received", A, "10.0.2.1")).slice(1), [
      "10.0.2.0/24 192.0.2.2 192.0.2.2 200 igp",
    ]);
    const prefixes = (await rows("routes", "--advertised", TOR)).slice(1).map(line => line.split(" ")[0]);
    assert.deepEqual(prefixes.sort(), ["10.0.0.0/8", "10.0.2.0/24"]);
  });

  it("explain: why each path won or lost, a line each", async () => {
    assert.deepEqual(await rows("explain", "10.0.0.0/8"), [
      "10.0.0.0/8",
      "from 192.0.2.2: best",
      "from 192.0.2.3: AS path [65001] is longer than []",
    ]);
    assert.deepEqual((await rows("explain", "10.200.0.1"))[0], "10.0.0.0/8");
    assert.deepEqual((await rows("explain", "fd00:9::/64")).slice(1), [
      "local: best, as it is the only path",
    ]);
    const json = JSON.parse((await calctl("explain", "10.0.0.0/8", "-o", "json")).stdout);
    assert.deepEqual(
      json.map(({ source, lostAt }: { source: string; lostAt?: string }) => [source, lostAt]),
      [
        [A, undefined],
        [TOR, "as-path-length"],
      ],
    );
    assert.equal((await calctl("explain", "172.16.0.0/12")).stderr, "there is no path to 172.16.0.0/12\n");
  });

  it("refresh: goes through the routes again, and the session stays", async () => {
    const before = rr.neighbor(A)!.sent.routeRefresh;
    assert.equal((await calctl("refresh", A, "--in")).stdout, `Refreshed ${A}\n`);
    lab.advance(1);
    assert.equal(rr.neighbor(A)!.sent.routeRefresh, before + 1);
    assert.equal((await calctl("refresh", A, "--out")).code, 0);
    assert.equal(rr.neighbor(A)!.sent.routeRefresh, before + 1);
    assert.equal(stateOf(rr, A), "Established");
  });

  it("reset: ends the session, with a reason", async () => {
    assert.equal((await calctl("reset", "all", "-m", "new keys")).stdout, "Reset 2 neighbors\n");
    lab.advance(1);
    const texts = a.events.map(({ error }) => error?.text);
    assert(texts.includes("Cease/Administrative Reset (new keys)"), texts.join());
    lab.advance(60);
    assert.equal(stateOf(rr, A), "Established");
  });

  it("shutdown-gracefully: moves traffic away, and back", async () => {
    const { stdout } = await calctl("shutdown-gracefully", A);
    assert.equal(stdout, `Moving traffic away from ${A}\n`);
    lab.advance(1);
    assert.equal(rr.paths("10.0.2.0/24")[0]?.localPref, 0);
    assert.equal((await calctl("shutdown-gracefully", "all", "--undo")).code, 0);
    lab.advance(1);
    assert.equal(rr.paths("10.0.2.0/24")[0]?.localPref, 200);
    assert.equal(stateOf(rr, A), "Established");
  });

  it("says where it looked when no daemon answers, or has no speaker yet", async () => {
    const { code, stderr } = await new Cluster().calctl(["bgp", "peers", "--socket", "/nonexistent"]);
    assert.equal(code, 1);
    assert.match(stderr, /^no BGP daemon answers at \/nonexistent/);
    source.speaker = undefined;
    assert.equal((await calctl("routes")).stderr, "the speaker is not running\n");
  });

  it("a long answer is read while the table changes, and one that is not read to its end ends nothing", async () => {
    for (let i = 0; i < 5000; i++) rr.announce({ prefix: `10.${100 + (i >> 8)}.${i & 255}.0/24` });
    lab.advance(1);
    const all = calctl("routes", "-o", "json");
    for (let i = 0; i < 5000; i += 2) rr.withdraw(`10.${100 + (i >> 8)}.${i & 255}.0/24`);
    lab.advance(1);
    const paths: { prefix: string }[] = JSON.parse((await all).stdout);
    const kept = new Set(paths.map(({ prefix }) => prefix));
    for (let i = 1; i < 5000; i += 2) assert(kept.has(`10.${100 + (i >> 8)}.${i & 255}.0/24`));
  });
});

describe("elapsed time", () => {
  it("is shown in the two largest units", () => {
    const shown = [0, 59, 60, 3599, 7500, 86_400 + 3 * 3600].map(seconds => elapsed(seconds * 1000));
    assert.deepEqual(shown, ["0s", "59s", "1m00s", "59m59s", "2h05m", "1d03h"]);
  });
});

describe("an explanation", () => {
  const path = (source: string, more: Partial<ExplainedAnswer> = {}): ExplainedAnswer => ({
    prefix: "10.0.0.0/8",
    family: "ipv4-unicast",
    source,
    sourceType: "internal",
    origin: "igp",
    asPath: [],
    nextHop: source,
    nextHops: [source],
    stale: false,
    pathId: 0,
    equal: false,
    ...more,
  });
  const best = path("192.0.2.1", { localPref: 200, med: 1, equal: true });

  it("gives the values that decided", () => {
    const text = explanation([
      best,
      path("192.0.2.2", { lostAt: "router-id", equal: true, originatorId: "192.0.2.2" }),
      path("192.0.2.3", { lostAt: "med", med: 5, nextHop: "192.0.2.33" }),
      path("192.0.2.4", { lostAt: "local-pref", stale: true }),
      path("192.0.2.5", { lostAt: "path-id", pathId: 7 }),
    ]);
    assert.deepEqual(text.split("\n"), [
      "10.0.0.0/8",
      "  from 192.0.2.1: best; shares the traffic with 1 equally good",
      "  from 192.0.2.2: carries traffic too, but is not announced: router id of its originator is higher (192.0.2.2 above the best one's)",
      "  from 192.0.2.3 via 192.0.2.33: MED 5 is above 1 from the same neighboring AS",
      "  from 192.0.2.4 (stale): LOCAL_PREF 100 is below 200",
      "  from 192.0.2.5 path 7: path identifier 7 is above 0",
      "",
    ]);
  });
});
