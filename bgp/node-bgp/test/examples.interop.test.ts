/** Every example, as a process of its own at the other end of a cable from a speaker of ours. Needs root. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Speaker } from "../index.ts";
import { CableLab, LEFT, RIGHT } from "./kit/cable-lab.ts";
import { exited, until } from "./kit/namespaces.ts";

const HUB_AS = 64512;
const EXAMPLE_AS = 64513;
/** What every example that dials is told of itself and of the hub. */
const DIAL = [
  "--as",
  `${EXAMPLE_AS}`,
  "--router-id",
  RIGHT,
  "--neighbor",
  LEFT,
  "--neighbor-as",
  `${HUB_AS}`,
];

describe("the examples", function () {
  this.timeout(30_000);
  let lab: CableLab;
  let children: ChildProcess[] = [];

  before(function () {
    if (process.getuid?.() !== 0) {
      process.stdout.write("    skipped: needs root\n");
      this.skip();
    }
    lab = new CableLab();
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map(exited));
    children = [];
    await lab?.endSpeakers();
  });
  after(() => lab?.close());

  /** Starts an example on the right; its output grows in `lines`. */
  function run(example: string, ...args: string[]): { child: ChildProcess; lines: string[] } {
    const program = join(import.meta.dirname, "../examples", example);
    const child = lab.cable.spawn(lab.cable.right, process.execPath, [program, ...args], "inherit");
    children.push(child);
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on("line", line => lines.push(line));
    return { child, lines };
  }

  /** A speaker on the left that takes whoever dials from the right, and has two routes of its own. */
  async function hub(): Promise<Speaker> {
    const speaker = await lab.speaker("left", {}, { address: RIGHT, asn: EXAMPLE_AS, passive: true });
    speaker.announce({ prefix: "10.1.0.0/16", communities: ["64512:7"] });
    speaker.announce({ prefix: "10.1.2.0/24" });
    return speaker;
  }

  it("are all short, and all tested here", () => {
    for (const name of [
      "announce-service",
      "route-collector",
      "route-reflector",
      "looking-glass",
      "script-feed",
    ]) {
      const text = readFileSync(join(import.meta.dirname, "../examples", `${name}.ts`), "utf8");
      assert(text.split("\n").length <= 80, name);
      assert.doesNotMatch(text, /from "\.\.?\//, "can be copied out");
    }
  });

  it("announce-service.ts announces while the service is healthy", async () => {
    const speaker = await hub();
    let isHealthy = true;
    const service: Server = createServer((_, response) => {
      response.writeHead(isHealthy ? 200 : 503).end();
    });
    // The check is made from the right, over the cable.
    service.listen({ port: 8080, host: LEFT });
    try {
      const check = ["--prefix", "203.0.113.10/32", "--check", `http://${LEFT}:8080/`, "--interval", "100"];
      const { child } = run("announce-service.ts", ...DIAL, ...check);
      const route = await until("announced", () => speaker.route("203.0.113.10/32"));
      assert.equal(route.nextHop, RIGHT);
      isHealthy = false;
      await until("withdrawn", () => speaker.route("203.0.113.10/32") === undefined || undefined);
      isHealthy = true;
      await until("announced again", () => speaker.route("203.0.113.10/32"));
      assert.equal(speaker.neighbor(RIGHT)?.established, 1);
      child.kill("SIGTERM");
      await exited(child);
      assert.match(speaker.neighbor(RIGHT)?.lastError?.text ?? "", /Administrative Shutdown/);
    } finally {
      service.close();
      service.closeAllConnections();
    }
  });

  it("route-collector.ts prints what there is and what changes, as JSON", async () => {
    const speaker = await hub();
    const { child, lines } = run(
      "route-collector.ts",
      ...["--as", `${EXAMPLE_AS}`, "--router-id", RIGHT, "--neighbor", `${LEFT}=${HUB_AS}`],
    );
    await until("two routes", () => (lines.length >= 2 ? true : undefined));
    speaker.withdraw("10.1.2.0/24");
    await until("a withdrawal", () => (lines.length >= 3 ? true : undefined));
    const told = lines.map(line => JSON.parse(line));
    assert.deepEqual(
      told.map(({ kind, prefix }) => `${kind} ${prefix}`),
      ["added 10.1.0.0/16", "added 10.1.2.0/24", "removed 10.1.2.0/24"],
    );
    assert.deepEqual(
      [told[0].from, told[0].nextHop, told[0].asPath, told[0].communities],
      [LEFT, LEFT, "64512", ["64512:7"]],
    );
    child.kill("SIGTERM");
    await exited(child);
    assert.deepEqual([...speaker.received(RIGHT)], []);
  });

  it("route-reflector.ts reflects between clients that dial it", async () => {
    const { lines } = run(
      "route-reflector.ts",
      "--as",
      "64512",
      "--router-id",
      RIGHT,
      "--clients",
      "10.99.0.0/24",
    );
    await until("ready", () => lines.find(line => line === "reflecting on port 179"));
    lab.ip("left", "addr", "add", "10.99.0.9/24", "dev", "eth0");
    const clients = [LEFT, "10.99.0.9"].map(localAddress =>
      lab.speaker(
        "left",
        { routerId: localAddress, listen: false },
        { address: RIGHT, asn: 64512, localAddress },
      ),
    );
    const [a, b] = await Promise.all(clients);
    a!.announce({ prefix: "10.65.0.0/26" });
    const route = await until("reflected", () => b!.route("10.65.0.0/26"));
    assert.deepEqual([route.nextHop, route.originatorId, route.clusterList], [LEFT, LEFT, [RIGHT]]);
    await a!.stop();
    await until("a goodbye", () => lines.find(line => line === `${LEFT} has left`));
    assert(
      lines.includes(`10.99.0.9 is up (2 clients)`) || lines.includes(`${LEFT} is up (2 clients)`),
      `${lines}`,
    );
  });

  it("looking-glass.ts answers over HTTP", async () => {
    const speaker = await hub();
    const { lines } = run("looking-glass.ts", ...DIAL);
    await until("listening", () => lines.find(line => line.startsWith("listening")));
    const ask = async (path: string) => {
      const answer = await fetch(`http://${RIGHT}:8080${path}`);
      return {
        status: answer.status,
        body: (await answer.json()) as Record<string, unknown> & { state: string }[],
      };
    };
    await until("routes", async () => ((await ask("/routes")).body.length === 2 ? true : undefined));
    const found = await ask("/route/10.1.2.3");
    assert.equal(found.body.prefix, "10.1.2.0/24");
    assert.equal((await ask("/route/10.1.99.1")).body.prefix, "10.1.0.0/16");
    assert.equal((await ask("/route/10.1.0.0/16")).body.prefix, "10.1.0.0/16");
    assert.equal((await ask("/route/192.0.2.1")).status, 404);
    for (const nonsense of ["nonsense", "10.1.2.3/99", "%zz"]) {
      assert.equal((await ask(`/route/${nonsense}`)).status, 404);
    }
    assert.equal((await ask("/routes?limit=1")).body.length, 1);
    assert.equal((await ask("/neighbors")).body[0]?.state, "Established");
    assert.deepEqual([...speaker.received(RIGHT)], []);
  });

  it("script-feed.ts makes routes of what a script prints, and tells it what is learned", async () => {
    const speaker = await hub();
    const script = join(lab.cable.folder, "feed.sh");
    const heard = join(lab.cable.folder, "heard");
    writeFileSync(
      script,
      `#!/bin/sh
      echo "announce route 10.5.0.0/24 next-hop self med 10 community 64513:1 64513:2"
      echo "announce route 10.6.0.0/24 next-hop 10.99.0.77"
      echo "announce route 10.999.0.0/24"
      read line; echo "$line" > ${heard}
      echo "withdraw route 10.5.0.0/24"
      cat >> ${heard}
      `,
    );
    chmodSync(script, 0o755);
    const { child } = run("script-feed.ts", ...DIAL, "--", script);
    const gone = (prefix: string) => speaker.route(prefix) === undefined || undefined;
    const other = await until("10.6.0.0/24", () => speaker.route("10.6.0.0/24"));
    assert.equal(other.nextHop, "10.99.0.77");
    // The script withdraws it once it has read its first line.
    await until("10.5.0.0/24 gone", () => (existsSync(heard) ? gone("10.5.0.0/24") : undefined));
    speaker.withdraw("10.1.2.0/24");
    const told = await until("three lines", () => {
      const text = readFileSync(heard, "utf8").trim().split("\n");
      return text.length >= 3 ? text.map(line => JSON.parse(line)) : undefined;
    });
    assert.deepEqual(
      told.map(({ kind, prefix }) => `${kind} ${prefix}`),
      ["added 10.1.0.0/16", "added 10.1.2.0/24", "removed 10.1.2.0/24"],
    );
    child.kill("SIGTERM");
    await exited(child);
  });
});
