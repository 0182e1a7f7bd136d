/** Against a real BMP collector, pmacct's pmbmpd, with bird as the neighbor that is told of. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BmpExporter, Family, type RoutePolicy } from "../../index.ts";
import { type InteropLab, ours, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const PORT = 21_790;
const OUR_AS = 64_513;
const THEIR_AS = 64_512;

/** A line of its log, as far as the tests look. */
interface Heard {
  readonly event_type: "log" | "log_init" | "log_close";
  readonly bmp_msg_type?: "init" | "peer_up" | "peer_down" | "route_monitor" | "stats" | "term";
  readonly log_type?: "update" | "withdraw";
  readonly peer_ip?: string;
  readonly peer_asn?: number;
  readonly is_post?: 0 | 1;
  readonly ip_prefix?: string;
  readonly bgp_nexthop?: string;
  readonly as_path?: string;
  readonly comms?: string;
  readonly lcomms?: string;
  readonly origin?: string;
  readonly local_pref?: number;
  readonly med?: number;
  readonly reason_type?: number;
  readonly counter_type?: number;
  readonly afi?: number;
  readonly counter_value?: number;
}

/** pmbmpd in the daemon's namespace, writing one line of JSON per thing it has understood. */
class Station {
  readonly #log: string;

  constructor({ cable }: InteropLab, name: string) {
    this.#log = join(cable.folder, `${name}.json`);
    const config = join(cable.folder, `${name}.conf`);
    writeFileSync(
      config,
      `daemonize: false
bmp_daemon_ip: ${THEIRS}
bmp_daemon_port: ${PORT}
bmp_daemon_max_peers: 4
bmp_daemon_msglog_file: ${this.#log}
bmp_daemon_msglog_output: json
`,
    );
    const child = cable.spawn(cable.right, "pmbmpd", ["-f", config]);
    this.end = () => child.kill("SIGKILL");
  }

  readonly end: () => void;

  heard(): Heard[] {
    if (!existsSync(this.#log)) return [];
    const text = readFileSync(this.#log, "utf8");
    // The last line may be half written.
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
    return lines.filter(line => line !== "").map(line => JSON.parse(line) as Heard);
  }

  async until(what: string, ask: (heard: Heard[]) => boolean): Promise<Heard[]> {
    try {
      return await until(what, () => {
        const heard = this.heard();
        return ask(heard) ? heard : undefined;
      });
    } catch (error) {
      throw new Error(`${what}: ${JSON.stringify(this.heard().slice(-10), undefined, 1)}`, { cause: error });
    }
  }
}

function hasCollector(): boolean {
  try {
    execFileSync("pmbmpd", ["-V"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

withEachDaemon(
  "bmp to pmbmpd",
  lab => {
    let station: Station;
    let exporter: BmpExporter | undefined;
    let count = 0;

    before(function () {
      if (hasCollector()) return;
      process.stdout.write("    skipped: needs pmbmpd (Debian: pmacct)\n");
      this.skip();
    });
    beforeEach(() => {
      station = new Station(lab, `station${count++}`);
    });
    afterEach(() => {
      exporter?.close();
      exporter = undefined;
      station.end();
    });

    const ROUTES = [
      { prefix: "10.20.0.0/24", med: 7, communities: ["64512:1", "64512:2"], asPath: [65001, 65002] },
      { prefix: "10.20.1.0/24", largeCommunities: ["64512:1:2"], origin: "incomplete" as const },
      { prefix: "fd20::/64" },
    ];
    const of = (heard: Heard[], type: Heard["bmp_msg_type"]) =>
      heard.filter(({ bmp_msg_type }) => bmp_msg_type === type);
    const announced = (heard: Heard[], isPost: 0 | 1) =>
      of(heard, "route_monitor").filter(line => line.log_type === "update" && line.is_post === isPost);

    it("sessions, routes of both families and all their attributes, and their end", async () => {
      const daemon = await lab.daemon({
        neighbors: [{ address: ours(), asn: OUR_AS, families: Object.values(Family) }],
        routes: ROUTES,
      });
      const us = await lab.speaker(
        { asn: OUR_AS },
        { address: THEIRS, asn: THEIR_AS, families: Object.values(Family) },
      );
      exporter = new BmpExporter(us.speaker, {
        collectors: [{ address: THEIRS, port: PORT }],
        statisticsInterval: 1,
        retry: { first: 0.2, longest: 0.2 },
      });
      await lab.established(us, daemon);
      const heard = await station.until("three routes", lines => announced(lines, 0).length >= 3);
      const [up] = of(heard, "peer_up");
      assert.deepEqual([up?.peer_ip, up?.peer_asn], [THEIRS, THEIR_AS]);
      const byPrefix = new Map(announced(heard, 0).map(line => [line.ip_prefix, line]));
      const first = byPrefix.get("10.20.0.0/24")!;
      assert.deepEqual(
        [first.peer_ip, first.bgp_nexthop, first.as_path, first.med, first.comms],
        [THEIRS, THEIRS, "64512 65001 65002", 7, "64512:1 64512:2"],
      );
      const second = byPrefix.get("10.20.1.0/24")!;
      assert.deepEqual([second.as_path, second.lcomms, second.origin], ["64512", "64512:1:2", "u"]);
      assert.ok(byPrefix.has("fd20::/64"));
      // A report comes as four lines.
      const reportOf = (lines: Heard[]) => {
        const stats = of(lines, "stats");
        const at = stats.findIndex(line => line.counter_type === 7 && line.counter_value === 3);
        return at < 0 ? [] : stats.slice(at, at + 4);
      };
      const counted = await station.until("statistics", lines => reportOf(lines).length === 4);
      assert.deepEqual(
        reportOf(counted).map(line => [line.counter_type, line.afi, line.counter_value]),
        [
          [7, undefined, 3],
          [9, 1, 2],
          [9, 2, 1],
          [11, undefined, 0],
        ],
      );

      await daemon.withdraw(["10.20.0.0/24"]);
      await station.until("the withdrawal", lines =>
        of(lines, "route_monitor").some(
          line => line.log_type === "withdraw" && line.ip_prefix === "10.20.0.0/24",
        ),
      );
      await daemon.shutdown(ours());
      const ended = await station.until("the end", lines => of(lines, "peer_down").length > 0);
      assert.equal(of(ended, "peer_down")[0]?.reason_type, 3);
      exporter.close();
      await station.until("goodbye", lines => of(lines, "term").length > 0);
    });

    it("a collector that comes late, before and behind a policy", async () => {
      const importPolicy: RoutePolicy = route =>
        route.prefix === "10.20.0.0/24" ? { ...route, localPref: 50 } : null;
      const daemon = await lab.daemon({ neighbors: [{ address: ours(), asn: OUR_AS }], routes: ROUTES });
      const us = await lab.speaker({ asn: OUR_AS }, { address: THEIRS, asn: THEIR_AS, importPolicy });
      await lab.established(us, daemon);
      await us.untilRoute("10.20.0.0/24");
      exporter = new BmpExporter(us.speaker, {
        collectors: [{ address: THEIRS, port: PORT, view: "both" }],
        retry: { first: 0.2, longest: 0.2 },
      });
      const heard = await station.until(
        "both views",
        lines => announced(lines, 0).length >= 2 && announced(lines, 1).length >= 1,
      );
      assert.deepEqual([...new Set(announced(heard, 0).map(line => line.ip_prefix))].sort(), [
        "10.20.0.0/24",
        "10.20.1.0/24",
      ]);
      for (const line of announced(heard, 1))
        assert.deepEqual([line.ip_prefix, line.local_pref, line.med], ["10.20.0.0/24", 50, 7]);
    });
  },
  ["bird"],
);
