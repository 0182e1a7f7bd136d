/** Against a real bird 2, each in a network namespace of its own. Needs root; skips, with the reason, where it cannot run. */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  Family,
  type NeighborOptions,
  type NeighborState,
  type Route,
  type RouteChange,
  type SpeakerOptions,
} from "../index.ts";
import { Cable, exited, until } from "./kit/namespaces.ts";
import type { SpeakerCommand } from "./kit/speaker-process.ts";

const US = "10.99.0.1";
const BIRD = "10.99.0.2";
const OUR_BLOCK = "192.168.1.0/26";
const BIRD_BLOCK = "10.20.0.0/24";

/** Our speaker in the left namespace. */
class Speaker {
  readonly child: ChildProcess;
  state: NeighborState = "Idle";
  readonly states: NeighborState[] = [];
  readonly errors: string[] = [];
  readonly routes = new Map<string, Route>();
  readonly withdrawn: string[] = [];
  isReady = false;

  constructor(cable: Cable, neighbor: Partial<NeighborOptions>, speaker: Partial<SpeakerOptions> = {}) {
    const setup = {
      speaker: { asn: 64512, routerId: US, ...speaker },
      neighbors: [
        {
          address: BIRD,
          asn: 64512,
          localAddress: US,
          connectRetryTime: 1,
          families: Object.values(Family),
          nextHopSelf: { ipv6: "fd99::1" },
          ...neighbor,
        },
      ],
      routes: [{ prefix: OUR_BLOCK, communities: ["64512:77"] }, { prefix: "fd10::/64" }],
    };
    const program = join(import.meta.dirname, "kit/speaker-process.ts");
    this.child = cable.spawn(cable.left, process.execPath, [program, JSON.stringify(setup)], "inherit");
    createInterface({ input: this.child.stdout! }).on("line", line => this.#hear(JSON.parse(line)));
  }

  do(command: SpeakerCommand): void {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  async stop(graceful: boolean): Promise<void> {
    this.do({ do: "stop", graceful });
    await exited(this.child);
  }

  established(seconds?: number): Promise<true> {
    return until("Established", () => (this.state === "Established" ? true : undefined), seconds);
  }

  #hear(event: {
    event: string;
    state: NeighborState;
    error?: { text: string };
    changes: RouteChange[];
  }): void {
    if (event.event === "ready") this.isReady = true;
    if (event.event === "neighbor") {
      this.state = event.state;
      this.states.push(event.state);
      if (event.error !== undefined) this.errors.push(event.error.text);
    }
    if (event.event !== "routes") return;
    for (const { prefix, best } of event.changes) {
      if (best !== null) this.routes.set(prefix, best);
      else {
        this.routes.delete(prefix);
        this.withdrawn.push(prefix);
      }
    }
  }
}

/** bird in the right namespace. */
class Bird {
  readonly #socket: string;
  readonly child: ChildProcess;

  constructor(cable: Cable, bgp: string, options: { recover?: boolean; asn?: number } = {}) {
    const { recover = false, asn = 64512 } = options;
    this.#socket = join(cable.folder, "bird.ctl");
    const config = join(cable.folder, "bird.conf");
    writeFileSync(
      config,
      `router id ${BIRD};
      protocol device {}
      protocol static four { ipv4; route ${BIRD_BLOCK} blackhole; }
      protocol static six { ipv6; route fd20::/64 blackhole; }
      protocol bgp ours {
        local ${BIRD} as ${asn};
        neighbor ${US} as 64512;
        direct;
        graceful restart on;
        connect delay time 1; connect retry time 1; error wait time 1, 2;
        ipv4 { import all; export all; gateway direct; next hop self; };
        ipv6 { import all; export all; gateway direct; next hop address fd99::2; };
        ${bgp}
      }`,
    );
    const pid = join(cable.folder, "bird.pid");
    const args = ["-f", "-c", config, "-s", this.#socket, "-P", pid, ...(recover ? ["-R"] : [])];
    this.child = cable.spawn(cable.right, "bird", args, "inherit");
  }

  ask(...command: string[]): string {
    try {
      return execFileSync("birdc", ["-s", this.#socket, ...command], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
    } catch {
      return "";
    }
  }

  /** What it has from us for a prefix. */
  route(prefix: string): string | undefined {
    const text = this.ask("show", "route", "for", prefix, "all");
    return text.includes("[ours ") ? text : undefined;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await exited(this.child);
  }
}

describe("with bird", function () {
  this.timeout(60_000);
  let cable: Cable;

  before(function () {
    const missing = process.getuid?.() !== 0 ? "root" : hasBird() ? undefined : "bird 2";
    if (missing === undefined) return;
    this.test?.parent && process.stdout.write(`    skipped: needs ${missing}\n`);
    this.skip();
  });
  beforeEach(() => {
    cable = new Cable();
  });
  afterEach(() => cable.remove());

  it("IPv4 and IPv6 routes go both ways, and are withdrawn", async () => {
    const bird = new Bird(cable, "");
    const us = new Speaker(cable, {});
    await us.established();
    const learned = await until("bird's block", () => us.routes.get(BIRD_BLOCK));
    assert.deepEqual(learned.nextHops, [BIRD]);
    assert.deepEqual((await until("bird's IPv6", () => us.routes.get("fd20::/64"))).nextHops, ["fd99::2"]);
    const ours = await until("our block at bird", () => bird.route(OUR_BLOCK));
    assert.match(ours, /BGP\.next_hop: 10\.99\.0\.1/);
    assert.match(ours, /BGP\.community: \(64512,77\)/);
    assert.match(await until("our IPv6 at bird", () => bird.route("fd10::/64")), /BGP\.next_hop: fd99::1/);

    us.do({ do: "withdraw", prefix: OUR_BLOCK });
    await until("bird to forget", () => (bird.route(OUR_BLOCK) === undefined ? true : undefined));
    bird.ask("disable", "four");
    await until("us to forget", () => (us.withdrawn.includes(BIRD_BLOCK) ? true : undefined));
    bird.ask("enable", "four");
    await until("it again", () => us.routes.get(BIRD_BLOCK));
    bird.ask("reload", "in", "ours");
    us.do({ do: "announce", route: { prefix: OUR_BLOCK } });
    await until("our block again", () => bird.route(OUR_BLOCK));
    assert.equal(us.states.filter(state => state === "Established").length, 1);
    await us.stop(false);
  });

  it("an external session with GTSM", async () => {
    const bird = new Bird(cable, "ttl security on;", { asn: 4200000001 });
    const us = new Speaker(cable, { asn: 4200000001, ttlSecurity: 1 });
    await us.established();
    const route = await until("bird's block", () => us.routes.get(BIRD_BLOCK));
    assert.deepEqual(route.asPath, [{ type: "sequence", asns: [4200000001] }]);
    assert.match(await until("our block at bird", () => bird.route(OUR_BLOCK)), /BGP\.as_path: 64512/);
    await us.stop(false);
  });

  for (const [who, ours, theirs] of [
    ["we dial", {}, "passive on;"],
    ["bird dials", { passive: true }, ""],
    ["both dial", {}, ""],
  ] as const) {
    it(`a password lets in who knows it, when ${who}`, async () => {
      new Bird(cable, `password "secret"; ${theirs}`);
      const us = new Speaker(cable, { password: "secret", ...ours });
      await us.established();
      await until("bird's block", () => us.routes.get(BIRD_BLOCK));
      await us.stop(false);
    });
  }

  it("a password keeps out who has another one, until it is put right", async () => {
    new Bird(cable, `password "secret";`);
    const us = new Speaker(cable, { password: "guess" });
    await until("attempts", () =>
      us.states.filter(state => state === "Connect").length >= 2 || us.errors.length >= 2 ? true : undefined,
    );
    assert.ok(!us.states.includes("OpenSent"), us.states.join(" "));
    const neighbor: NeighborOptions = { address: BIRD, asn: 64512, connectRetryTime: 1, password: "secret" };
    us.do({ do: "update", neighbor });
    await us.established();
    await us.stop(false);
  });

  it("bird keeps our routes while we restart", async () => {
    const bird = new Bird(cable, "");
    const us = new Speaker(cable, {});
    await us.established();
    await until("our block at bird", () => bird.route(OUR_BLOCK));
    await us.stop(true);
    await until("bird to notice", () =>
      /Established/.test(bird.ask("show", "protocols", "ours")) ? undefined : true,
    );
    assert.ok(bird.route(OUR_BLOCK), "kept");
    assert.match(bird.ask("show", "protocols", "all", "ours"), /Neighbor graceful restart active/);

    const again = new Speaker(cable, {}, { gracefulRestart: { restarting: true } });
    let gone = false;
    await until("Established again", () => {
      gone ||= bird.route(OUR_BLOCK) === undefined;
      return again.isReady && again.state === "Established" ? true : undefined;
    });
    await until("the restart to be over", () => {
      gone ||= bird.route(OUR_BLOCK) === undefined;
      return /graceful restart active/.test(bird.ask("show", "protocols", "all", "ours")) ? undefined : true;
    });
    assert.equal(gone, false);
    assert.ok(bird.route(OUR_BLOCK));
    await again.stop(false);
  });

  it("we keep bird's routes while it restarts", async () => {
    const bird = new Bird(cable, "");
    const us = new Speaker(cable, {});
    await us.established();
    await until("bird's block", () => us.routes.get(BIRD_BLOCK));
    await bird.kill();
    await until("us to notice", () => (us.state !== "Established" ? true : undefined));
    new Bird(cable, "", { recover: true });
    await us.established(20);
    assert.deepEqual(us.withdrawn, []);
    assert.ok(us.routes.has(BIRD_BLOCK));
    await us.stop(false);
  });
});

function hasBird(): boolean {
  try {
    execFileSync("bird", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
