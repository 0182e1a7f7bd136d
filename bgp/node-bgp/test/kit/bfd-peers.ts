/**
 * Other people's BFD at the right end of a cable: bird, which has it inside, and frr, where bfdd does it for bgpd with zebra between them. With a
 * BGP session that follows it where asked for.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FrrVty } from "./daemons/frr-vty.ts";
import { type Cable, exited, until } from "./namespaces.ts";

export interface PeerSession {
  /** Our address, with a zone where it is link-local. */
  readonly ours: string;
  readonly theirs: string;
  readonly multihop?: boolean;
  /** Milliseconds, default 300. */
  readonly interval?: number;
  /** Default 3. */
  readonly multiplier?: number;
}

export interface PeerSettings {
  readonly sessions: readonly PeerSession[];
  /** A BGP session over the first of them: both are of AS 64512, and it originates 10.20.0.0/24. */
  readonly bgp?: boolean;
  /** It runs with real-time priority: what is late is not its fault. bird only. */
  readonly realtime?: boolean;
}

export interface BfdPeer {
  readonly name: "bird" | "frr";
  start(settings: PeerSettings): Promise<void>;
  /** `Up`, `Down`, `Init`, `AdminDown`; undefined: there is no such session. */
  state(session: PeerSession): Promise<string | undefined>;
  /** Milliseconds between its packets, as negotiated. */
  interval(session: PeerSession): Promise<number | undefined>;
  /** Other timers at run time. */
  change(session: PeerSession): Promise<void>;
  /** Its BFD is shut down, its BGP is not. */
  shutdown(session: PeerSession): Promise<void>;
  /** Its BGP has this route. */
  hasRoute(prefix: string): Promise<boolean>;
  /** Nothing is said to anybody. */
  kill(): Promise<void>;
  log(): string;
}

abstract class Process {
  readonly cable: Cable;
  readonly #children: ChildProcess[] = [];
  readonly #logs: string[] = [];

  constructor(cable: Cable) {
    this.cable = cable;
  }

  protected path(name: string): string {
    return join(this.cable.folder, name);
  }

  protected spawn(command: string, args: readonly string[]): ChildProcess {
    const path = this.path(`${command.split("/").at(-1)}.log`);
    this.#logs.push(path);
    const log = openSync(path, "a");
    const wrapped = ["--pdeathsig", "KILL", "ip", "netns", "exec", this.cable.right, command, ...args];
    const child = spawn("setpriv", wrapped, { stdio: ["ignore", log, log] });
    closeSync(log);
    this.#children.push(child);
    return child;
  }

  async kill(): Promise<void> {
    const children = this.#children.splice(0);
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map(exited));
  }

  log(): string {
    return this.#logs
      .filter(path => existsSync(path))
      .map(path => `--- ${path}\n${readFileSync(path, "utf8").split("\n").slice(-60).join("\n")}`)
      .join("\n");
  }
}

export class BirdBfd extends Process implements BfdPeer {
  readonly name = "bird";
  #settings: PeerSettings = { sessions: [] };

  async start(settings: PeerSettings): Promise<void> {
    this.#settings = settings;
    this.#configure();
    const priority = settings.realtime ? ["chrt", "-f", "60"] : [];
    const [command, ...args] = [...priority, "bird"];
    this.spawn(command!, [
      ...args,
      "-f",
      "-c",
      this.path("bird.conf"),
      "-s",
      this.path("bird.ctl"),
      "-P",
      this.path("bird.pid"),
    ]);
    await until("bird to answer", () =>
      this.#ask("show", "status").includes("10.99.0.2") ? true : undefined,
    );
  }

  async state(session: PeerSession): Promise<string | undefined> {
    return this.#row(session)?.[2];
  }

  async interval(session: PeerSession): Promise<number | undefined> {
    const row = this.#row(session);
    return row === undefined ? undefined : Math.round(Number(row.at(-2)) * 1000);
  }

  async change(session: PeerSession): Promise<void> {
    const isSame = (other: PeerSession) =>
      other.ours === session.ours && (other.multihop ?? false) === (session.multihop ?? false);
    const sessions = this.#settings.sessions.map(other => (isSame(other) ? session : other));
    this.#settings = { ...this.#settings, sessions };
    this.#configure();
    this.#ask("configure");
  }

  async shutdown(): Promise<void> {
    this.#ask("disable", "bfd1");
  }

  async hasRoute(prefix: string): Promise<boolean> {
    return this.#ask("show", "route", prefix).includes(prefix);
  }

  #row(session: PeerSession): string[] | undefined {
    const address = session.ours.replace(/%.*/, "");
    const rows = this.#ask("show", "bfd", "sessions")
      .split("\n")
      .map(line => line.trim().split(/\s+/));
    return rows.find(row => row[0] === address && (row[1] === "---") === (session.multihop ?? false));
  }

  /** One set of timers for all sessions of a kind: bird has them by interface. */
  #configure(): void {
    const { sessions, bgp } = this.#settings;
    const timers = (multihop: boolean) => {
      const session = sessions.find(other => (other.multihop ?? false) === multihop);
      const { interval = 300, multiplier = 3 } = session ?? {};
      return `interval ${interval} ms; idle tx interval 1 s; multiplier ${multiplier};`;
    };
    const neighbors = sessions.map(({ ours, theirs, multihop }, i) => {
      if (bgp && i === 0) return "";
      const address = ours.replace(/%.*/, "");
      return multihop
        ? `neighbor ${address} local ${theirs} multihop on;`
        : `neighbor ${address} dev "eth0" local ${theirs.replace(/%.*/, "")};`;
    });
    writeFileSync(
      this.path("bird.conf"),
      `log "${this.path("bird.own.log")}" all;
      debug protocols { states, events };
      router id 10.99.0.2;
      protocol device { scan time 1; }
      protocol bfd bfd1 {
        interface "*" { ${timers(false)} };
        multihop { ${timers(true)} };
        ${neighbors.join("\n")}
      }
      protocol static { ipv4; route 10.20.0.0/24 blackhole; }
      ${bgp ? this.#bgp(sessions[0]!) : ""}`,
    );
  }

  #bgp({ ours, theirs, multihop }: PeerSession): string {
    return `protocol bgp ours {
      local ${theirs} as 64512;
      neighbor ${ours.replace(/%(.*)/, ' % "$1"')} as 64512;
      ${multihop ? "multihop 2" : "direct"};
      hold time 90;
      connect delay time 1; connect retry time 1; error wait time 1, 2;
      bfd graceful; graceful restart on;
      ipv4 { import all; export all; next hop self; };
    }`;
  }

  #ask(...command: string[]): string {
    try {
      return execFileSync("birdc", ["-s", this.path("bird.ctl"), ...command], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
    } catch {
      return "";
    }
  }
}

interface FrrPeer {
  readonly peer: string;
  readonly multihop: boolean;
  readonly status: string;
  readonly "transmit-interval": number;
  readonly "remote-receive-interval": number;
}

const FRR = "/usr/lib/frr";

export class FrrBfd extends Process implements BfdPeer {
  readonly name = "frr";
  #bfdd: FrrVty | undefined;
  #bgpd: FrrVty | undefined;

  async start({ sessions, bgp }: PeerSettings): Promise<void> {
    // zebra and bfdd insist on being the user that they were built for.
    chmodSync(this.cable.folder, 0o777);
    const zebra = this.path("zserv.api");
    await this.#run("zebra", "", ["-z", zebra]);
    const own = bgp ? sessions.slice(1) : sessions;
    const peers = own.flatMap(session => [...command(session), ...timers(session), " exit"]);
    const ctl = this.path("bfdd.sock");
    this.#bfdd = await this.#run("bfdd", ["bfd", ...peers].join("\n"), ["-z", zebra, "--bfdctl", ctl]);
    if (!bgp) return;
    const [{ ours, theirs, interval = 300, multiplier = 3, multihop } = sessions[0]!] = sessions;
    const lines = [
      "router bgp 64512",
      " bgp router-id 10.99.0.2",
      " no bgp network import-check",
      ` neighbor ${ours} remote-as 64512`,
      ` neighbor ${ours} update-source ${theirs}`,
      ` neighbor ${ours} timers connect 1`,
      ...(multihop ? [` neighbor ${ours} disable-connected-check`] : []),
      ` neighbor ${ours} bfd`,
      ` neighbor ${ours} bfd ${multiplier} ${interval} ${interval}`,
      " address-family ipv4 unicast",
      "  network 10.20.0.0/24",
    ];
    this.#bgpd = await this.#run("bgpd", lines.join("\n"), ["-z", zebra]);
  }

  async state(session: PeerSession): Promise<string | undefined> {
    const status = (await this.#peer(session))?.status;
    const names: Record<string, string> = { up: "Up", down: "Down", init: "Init", shutdown: "AdminDown" };
    return status === undefined ? undefined : (names[status] ?? status);
  }

  async interval(session: PeerSession): Promise<number | undefined> {
    const peer = await this.#peer(session);
    return peer && Math.max(peer["transmit-interval"], peer["remote-receive-interval"]);
  }

  async change(session: PeerSession): Promise<void> {
    await this.#bfdd!.configure("bfd", ...command(session), ...timers(session));
  }

  async shutdown(session: PeerSession): Promise<void> {
    await this.#bfdd!.configure("bfd", ...command(session), "shutdown");
  }

  async hasRoute(prefix: string): Promise<boolean> {
    return (await this.#bgpd!.ask(`show bgp ipv4 unicast ${prefix}`)).includes("Paths:");
  }

  override async kill(): Promise<void> {
    this.#bfdd?.close();
    this.#bgpd?.close();
    await super.kill();
  }

  async #peer(session: PeerSession): Promise<FrrPeer | undefined> {
    const peers: FrrPeer[] = JSON.parse(await this.#bfdd!.ask("show bfd peers json"));
    const address = session.ours.replace(/%.*/, "");
    return peers.find(peer => peer.peer === address && peer.multihop === (session.multihop ?? false));
  }

  async #run(name: string, config: string, args: readonly string[]): Promise<FrrVty> {
    writeFileSync(this.path(`${name}.conf`), `${config}\n`);
    const child = this.spawn(`${FRR}/${name}`, [
      ...["-f", this.path(`${name}.conf`), "-i", this.path(`${name}.pid`), ...args],
      ...["-P", "0"],
      ...["--vty_socket", this.cable.folder, "--log", "stdout", "--log-level", "debug"],
    ]);
    return until(`${name} to answer`, () => {
      if (child.exitCode !== null) throw new Error(`${name} has ended:\n${this.log()}`);
      return FrrVty.open(this.path(`${name}.vty`)).catch(() => undefined);
    });
  }
}

function command({ ours, theirs, multihop }: PeerSession): string[] {
  const address = ours.replace(/%.*/, "");
  const local = theirs.replace(/%.*/, "");
  if (multihop) return [` peer ${address} multihop local-address ${local}`];
  return [` peer ${address} local-address ${local} interface eth0`];
}

function timers({ interval = 300, multiplier = 3 }: PeerSession): string[] {
  return [
    `  transmit-interval ${interval}`,
    `  receive-interval ${interval}`,
    `  detect-multiplier ${multiplier}`,
  ];
}

export const BFD_PEERS = {
  bird: { make: BirdBfd, probe: ["bird", "--version"] },
  frr: { make: FrrBfd, probe: [`${FRR}/bfdd`, "--version"] },
} as const;
