/** `bgp --config` as a process: a reflector between birds, in namespaces, asked by birdc and calctl. */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchStatus } from "../../../daemon/status-server.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { ip, run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { type Bird, Lan } from "./lan.ts";

const MAIN = join(import.meta.dirname, "../../../bgp/main.ts");
const CALCTL = join(import.meta.dirname, "../../../calctl/main.ts");

/** A client of the reflector at 10.0.0.1 with a route of its own. */
function clientConfig(last: number): string {
  return `
router id 10.0.0.${last};
protocol device {}
protocol static { ipv4; route 10.70.${last}.0/24 blackhole; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol bgp up {
  local 10.0.0.${last} as 64512;
  neighbor 10.0.0.1 as 64512;
  graceful restart;
  ipv4 { import all; export where source = RTS_STATIC; };
}`;
}

const peer = (last: number, more = "") => `  - {address: 10.0.0.${last}, as: 64512, rrClient: true${more}}\n`;

describe("bgp --config", function () {
  this.timeout(60_000);
  const namespaces = new ScratchNamespaces();
  let lan: Lan;
  let [a, b] = [] as unknown as [Bird, Bird];
  let namespace: string;
  let child: ChildProcess | undefined;
  let log = "";

  const file = () => join(lan.folder, "rr.yaml");
  const birdFolder = () => join(lan.folder, "bird");
  const head = () =>
    `as: 64512\nrouterId: 10.0.0.1\nstatusSocket: ${join(lan.folder, "rr.sock")}\nbirdSocket: ${birdFolder()}\n`;
  const write = (text: string) => writeFileSync(file(), head() + text);

  beforeEach(async () => {
    lan = await Lan.create(namespaces);
    namespace = lan.host("rr", 1).namespace;
    mkdirSync(birdFolder());
    [a, b] = [2, 3].map(last => lan.bird(last, clientConfig(last))) as [Bird, Bird];
    a.start();
    b.start();
  });
  afterEach(async () => {
    await end("SIGKILL");
    await lan?.close();
  });

  function start(): void {
    log = "";
    child = inNamespace(namespace, () =>
      spawn(process.execPath, [MAIN, "--config", file()], { stdio: ["ignore", "pipe", "pipe"] }),
    );
    for (const stream of [child.stdout!, child.stderr!]) stream.on("data", text => (log += text));
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = once(ending, "exit");
    ending.kill(signal);
    await gone;
  }

  /** After SIGHUP: until the log says what came of it. */
  async function reload(): Promise<string> {
    const before = log.length;
    child!.kill("SIGHUP");
    await a.until("a word about the reload", () => /configuration/.test(log.slice(before)));
    return log.slice(before);
  }

  const birdc = (...words: string[]) =>
    run(namespace, "birdc", "-s", join(birdFolder(), "bird.ctl"), ...words);
  const calctl = (...words: string[]) =>
    execFileSync(process.execPath, [CALCTL, ...words], { encoding: "utf8" });
  const has = (bird: Bird, prefix: string) => ip(bird.namespace, "route", "show", prefix).length === 1;

  it("reflects between birds, and is understood by birdc and calctl", async () => {
    write(`networks: [10.90.0.0/16]\npeers:\n${peer(2)}${peer(3)}`);
    start();
    await a.until("b's route", () => has(a, "10.70.3.0/24"));
    await b.until("a's route", () => has(b, "10.70.2.0/24"));
    await b.until("the reflector's own", () => has(b, "10.90.0.0/16"));

    const protocols = birdc("show", "protocols");
    assert.match(protocols, /^BIRD calyx-v\S+ ready\.\n/);
    assert.match(protocols, /^name +proto +table +state +since +info$/m);
    assert.match(protocols, /^Global_10_0_0_2 BGP +master +up +[\d:]{8} +Established *$/m);
    assert.match(birdc("show", "status"), /Router ID is 10\.0\.0\.1\n[\s\S]*Daemon is up and running/);
    assert.match(
      birdc("show", "route", "for", "10.70.2.9"),
      /^10\.70\.2\.0\/24 +via 10\.0\.0\.2 \[Global_10_0_0_2 /m,
    );
    assert.match(birdc("show", "route", "all"), /BGP\.origin: IGP/);
    assert.throws(() => birdc("configure"));

    const socket = ["--socket", join(lan.folder, "rr.sock")];
    const peers = JSON.parse(calctl("bgp", "peers", "-o", "json", ...socket));
    assert.deepEqual(
      peers.map(({ address, state }: { address: string; state: string }) => [address, state]),
      [
        ["10.0.0.2", "Established"],
        ["10.0.0.3", "Established"],
      ],
    );
    assert.match(calctl("bgp", "routes", "10.70.2.0/24", ...socket), /^> +10\.70\.2\.0\/24 +10\.0\.0\.2 /m);
    assert.match(
      calctl("node", "status", "--bird-socket", birdFolder()),
      /^\| 10\.0\.0\.2 +\| global +\| up +\| [\d:]{8} \| Established \|$/m,
    );
  });

  it("reloads on SIGHUP without resetting sessions, and refuses a file that is wrong", async () => {
    write(`peers:\n${peer(2)}`);
    start();
    await a.untilSays("show protocols", /up +BGP .*Established/);
    const since = async () => {
      const { neighbors } = JSON.parse((await fetchStatus(join(lan.folder, "rr.sock")))!.body);
      return neighbors.map(({ established }: { established: number }) => established);
    };
    write(`networks: [10.90.0.0/16]\npeers:\n${peer(2)}${peer(3)}`);
    assert.match(await reload(), /"added":1,"changed":0,"removed":0,"restarted":false/);
    await a.until("the new network", () => has(a, "10.90.0.0/16"));
    await a.until("the new client's route", () => has(a, "10.70.3.0/24"));

    write(`peers:\n${peer(2, ", holdTime: 1")}`);
    assert.match(await reload(), /rr\.yaml:6:\d+: peers\[0\]\.holdTime: 1 is not 0 or 3 to 65535 seconds/);
    assert(has(a, "10.90.0.0/16"));
    assert.deepEqual(await since(), [1, 1]);
  });

  it("stops with a goodbye, or so that the neighbors keep its routes until it is back", async () => {
    write(`peers:\n${peer(2)}${peer(3)}`);
    start();
    await a.until("b's route", () => has(a, "10.70.3.0/24"));
    await end("SIGTERM");
    await a.until("no route of b", () => !has(a, "10.70.3.0/24"));

    write(`stop: graceful\npeers:\n${peer(2)}${peer(3)}`);
    start();
    await a.until("b's route", () => has(a, "10.70.3.0/24"));
    await end("SIGTERM");
    await a.untilSays("show protocols", /up +BGP +--- +start/);
    assert(has(a, "10.70.3.0/24"));
    start();
    await a.untilSays("show protocols", /up +BGP .*Established/);
    await a.until("ready again", () =>
      fetchStatus(join(lan.folder, "rr.sock"), "/readiness").then(r => r?.code === 204),
    );
    assert(has(a, "10.70.3.0/24"));
  });

  it("installs what it learns where it is told to", async () => {
    write(`kernel: true\npeers:\n${peer(2)}`);
    start();
    await a.until(
      "the route installed",
      () => ip(namespace, "route", "show", "10.70.2.0/24", "proto", "bgp").length === 1,
    );
    write(`kernel: {table: 100, metric: 7}\npeers:\n${peer(2)}`);
    await reload();
    await a.until("in another table", () => {
      const found = ip(namespace, "route", "show", "table", "100");
      return found.length === 1 && found[0].metric === 7;
    });
    await a.until("and no longer in this", () => ip(namespace, "route", "show", "proto", "bgp").length === 0);
    write(`peers:\n${peer(2)}`);
    await reload();
    await a.until("and taken away there", () => ip(namespace, "route", "show", "table", "100").length === 0);
    await a.until("and taken away", () => ip(namespace, "route", "show", "proto", "bgp").length === 0);
  });
});
