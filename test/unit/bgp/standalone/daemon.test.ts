/** The standalone daemon in a simulated network: what a reload touches, and what it does not. */

import assert from "node:assert/strict";
import { BgpError, Speaker, type SpeakerOptions, type Transport } from "node-bgp";
import { pino } from "pino";
import { Lab, prefixesOf, stateOf } from "../../../../bgp/node-bgp/test/kit/lab.ts";
import { type RouteInstaller, StandaloneDaemon } from "../../../../bgp/standalone/daemon.ts";
import { PolicyCache } from "../../../../bgp/standalone/policies.ts";
import { type Reading, readConfiguration } from "../../../../bgp/standalone/read.ts";

const RR = "192.0.2.1";
const A = "192.0.2.2";
const B = "192.0.2.3";

class FakeInstaller implements RouteInstaller {
  hasRoutes = false;
  routeCount = 0;
  readonly metric: number;
  followed: Speaker[] = [];
  stopped: { keep: boolean } | undefined;

  constructor(metric: number) {
    this.metric = metric;
  }
  follow(speaker: Speaker): void {
    this.followed.push(speaker);
  }
  stop(options: { keep: boolean }): void {
    this.stopped = options;
  }
}

class ReflectorLab extends Lab {
  readonly installers: FakeInstaller[] = [];
  /** What is in the kernel when an installer looks. */
  kernelHasRoutes = false;
  readonly made: SpeakerOptions[] = [];
  takenPort: number | undefined;
  /** What was begun and ended for collectors. */
  readonly collectors: string[] = [];
  daemon!: StandaloneDaemon;

  async run(text: string): Promise<void> {
    this.daemon = new StandaloneDaemon(await reading(text), {
      logger: pino({ level: "silent" }),
      createInstaller: async ({ metric }) => {
        const installer = new FakeInstaller(metric);
        installer.hasRoutes = this.kernelHasRoutes;
        this.installers.push(installer);
        return installer;
      },
      createBmp: (_speaker, { collectors: [collector] }) => {
        this.collectors.push(`open ${collector!.port}`);
        return { close: () => void this.collectors.push(`close ${collector!.port}`) };
      },
      createSpeaker: options => {
        this.made.push(options);
        const { clock } = this;
        return new Speaker({ ...options, clock, random: () => 0.5, transport: this.#transport() });
      },
    });
    await this.daemon.start();
  }

  #transport(): Transport {
    const { listen, ...transport } = this.network.host(RR);
    return {
      ...transport,
      listen: (options, onConnection) =>
        options.port === this.takenPort
          ? Promise.reject(
              new BgpError(
                {
                  code: "ListenFailed",
                  address: options.address,
                  port: options.port,
                  system: "EADDRINUSE",
                },
                "the port is taken",
              ),
            )
          : listen(options, onConnection),
    };
  }

  async reload(text: string) {
    const applied = await this.daemon.reload(await reading(text));
    this.advance(10);
    return applied;
  }

  async client(address: string, prefix: string) {
    const client = this.speaker(address, 64512);
    client.addNeighbor({ address: RR, asn: 64512 });
    client.announce({ prefix });
    await client.start();
    return client;
  }
}

const reading = (text: string): Promise<Reading> =>
  readConfiguration({ name: "rr.yaml", text }, { readPassword: () => "secret", policies: new PolicyCache() });

const HEAD = `as: 64512\nrouterId: ${RR}\npassive: true\n`;
const BOTH = `${HEAD}peers:\n  - {address: ${A}, as: 64512, rrClient: true}\n  - {address: ${B}, as: 64512, rrClient: true}\n`;

describe("the standalone daemon", () => {
  let lab: ReflectorLab;
  let a: Awaited<ReturnType<ReflectorLab["client"]>>;
  let b: Awaited<ReturnType<ReflectorLab["client"]>>;

  beforeEach(async () => {
    lab = new ReflectorLab();
    a = await lab.client(A, "10.0.2.0/24");
    b = await lab.client(B, "10.0.3.0/24");
  });
  afterEach(() => lab.daemon.stop());

  it("reflects between its clients and announces its networks", async () => {
    await lab.run(`${BOTH}networks: [10.9.0.0/16]\n`);
    lab.advance(10);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24", "10.9.0.0/16"]);
  });

  it("adds, changes and removes neighbors and networks without a word to the others", async () => {
    await lab.run(BOTH);
    lab.advance(10);
    a.events.length = 0;
    const onlyA = `${HEAD}networks: [10.9.0.0/16]\npeers:\n  - {address: ${A}, as: 64512, rrClient: true}\n`;
    assert.deepEqual(await lab.reload(onlyA), { added: 0, changed: 0, removed: 1, restarted: false });
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.9.0.0/16"]);
    assert.equal(stateOf(b, RR), "Active");
    const withTimer = BOTH.replace(`${B}, as: 64512`, `${B}, as: 64512, holdTime: 30`);
    assert.deepEqual(await lab.reload(withTimer), { added: 1, changed: 0, removed: 0, restarted: false });
    lab.advance(60);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24"]);
    assert.deepEqual(await lab.reload(BOTH), { added: 0, changed: 1, removed: 0, restarted: false });
    assert.deepEqual(a.events, []);
  });

  it("takes whoever dials from a prefix, and lets them go with it", async () => {
    const text = `${HEAD}dynamicPeers:\n  - {prefix: 192.0.2.0/24, as: 64512, rrClient: true, description: rack}\n`;
    await lab.run(text);
    lab.advance(10);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24"]);
    assert.deepEqual(lab.daemon.origin(A), { source: "dynamic", name: "rack" });
    assert.deepEqual(await lab.reload(text), { added: 0, changed: 0, removed: 0, restarted: false });
    assert.deepEqual(await lab.reload(HEAD), { added: 0, changed: 0, removed: 1, restarted: false });
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24"]);
  });

  it("applies another policy to the session that is there", async () => {
    const withPolicy = (localPref: number) =>
      BOTH.replace("rrClient: true", "rrClient: true, import: low").concat(
        `policies: {low: {rules: [{action: accept, set: {localPref: ${localPref}}}]}}\n`,
      );
    await lab.run(withPolicy(10));
    lab.advance(10);
    b.events.length = 0;
    assert.equal(b.paths("10.0.2.0/24")[0]?.localPref, 10);
    assert.equal((await lab.reload(withPolicy(20))).changed, 1);
    assert.equal(b.paths("10.0.2.0/24")[0]?.localPref, 20);
    assert.deepEqual(b.events, []);
  });

  it("changes its cluster id without resetting sessions", async () => {
    await lab.run(BOTH);
    lab.advance(10);
    a.events.length = 0;
    assert.equal((await lab.reload(`${BOTH}clusterId: 192.0.2.77\n`)).restarted, false);
    assert.deepEqual(b.paths("10.0.2.0/24")[0]?.clusterList, ["192.0.2.77"]);
    assert.deepEqual(a.events, []);
  });

  it("starts a new speaker where its own identity changes", async () => {
    await lab.run(BOTH);
    lab.advance(10);
    const applied = await lab.reload(BOTH.replace(`routerId: ${RR}`, "routerId: 192.0.2.99"));
    assert.equal(applied.restarted, true);
    lab.advance(60);
    assert.equal(stateOf(a, RR), "Established");
    assert.equal(lab.daemon.speaker?.neighbor(A)?.state, "Established");
    assert.equal(a.neighbor(RR)?.remoteRouterId, "192.0.2.99");
  });

  it("goes back to the configuration before where the new speaker cannot start", async () => {
    await lab.run(BOTH);
    lab.advance(10);
    lab.takenPort = 180;
    const next = `${BOTH.replace(`routerId: ${RR}`, "routerId: 192.0.2.99")}port: 180\n`;
    await assert.rejects(lab.reload(next), { code: "ListenFailed" });
    lab.advance(60);
    assert.equal(lab.daemon.configuration.port, undefined);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24"]);
  });

  it("says goodbye when it is stopped, or nothing where it is configured to be back", async () => {
    await lab.run(`${BOTH}stopMessage: maintenance\n`);
    lab.advance(10);
    await lab.daemon.stop();
    lab.advance(1);
    const texts = a.events.map(({ error }) => error?.text);
    assert(texts.includes("Cease/Administrative Shutdown (maintenance)"), texts.join());
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24"]);

    await lab.run(`${BOTH}stop: graceful\n`);
    lab.advance(60);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24"]);
    await lab.daemon.stop();
    lab.advance(1);
    assert.equal(stateOf(a, RR) === "Established", false);
    assert.deepEqual(prefixesOf(a), ["10.0.2.0/24", "10.0.3.0/24"]);
  });

  it("tells collectors what is configured, and others after a reload", async () => {
    const collector = (port: number) => `bmp: {collectors: [{address: 192.0.2.9, port: ${port}}]}\n`;
    await lab.run(`${BOTH}${collector(1790)}`);
    await lab.reload(`${BOTH}${collector(1790)}`);
    assert.deepEqual(lab.collectors, ["open 1790"]);
    await lab.reload(`${BOTH}${collector(1791)}`);
    await lab.reload(BOTH);
    assert.deepEqual(lab.collectors, ["open 1790", "close 1790", "open 1791", "close 1791"]);
  });

  it("installs routes only where configured, and starts as a restart where the kernel has some", async () => {
    await lab.run(BOTH);
    assert.equal(lab.installers.length, 0);
    await lab.reload(`${BOTH}kernel: {metric: 77}\n`);
    assert.equal(lab.installers[0]?.metric, 77);
    assert.deepEqual(lab.installers[0]?.followed, [lab.daemon.speaker]);
    await lab.reload(BOTH);
    assert.deepEqual(lab.installers[0]?.stopped, { keep: false });
    await lab.daemon.stop();

    lab.kernelHasRoutes = true;
    await lab.run(`${BOTH}kernel: true\nstop: graceful\ngracefulRestart: {restarting: false}\n`);
    assert.deepEqual(lab.made.at(-1)?.gracefulRestart, { restarting: true });
    await lab.daemon.stop();
    assert.deepEqual(lab.installers.at(-1)?.stopped, { keep: true });
  });
});
