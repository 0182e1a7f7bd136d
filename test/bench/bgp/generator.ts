/**
 * All clients of the device under test, in one process: `node generator.ts JOB`, JSON in, one line of JSON out.
 *
 * What is sent is made before the clock starts; receivers only count, in one loop over the bytes, so that the device is what is
 * measured. What this process itself takes is the row `floor` of the table, where the device does nothing.
 */

import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import process from "node:process";
import {
  addressText,
  blockNumber,
  blockPrefixes,
  clientAddress,
  DEVICE_ADDRESS,
  tableNumber,
  tablePrefixes,
  tableSets,
} from "./load.ts";
import {
  announcements,
  Framing,
  KEEPALIVE,
  MessageType,
  open,
  type Prefixes,
  type Reader,
  readAttributes,
  updateParts,
  withdrawals,
} from "./wire.ts";

export type Case = "table" | "mesh" | "setup" | "timers";

export interface Job {
  readonly case: Case;
  readonly asn: number;
  /** Sessions. `table` and `timers`: the first one sends, the others receive. */
  readonly clients: number;
  /** `table`, `timers`: of the table; `mesh`: of each client. */
  readonly prefixes: number;
  /** Prefixes the first client announces and withdraws, in rounds. */
  readonly churn: number;
  readonly churnRounds: number;
  /** Sessions being set up at a time; 0: all at the same instant. */
  readonly pace: number;
  /** Pause between the last session and the first UPDATE. */
  readonly settleMs: number;
  readonly timeoutMs: number;
  readonly holdTime: number;
  /** Whose time and memory are measured. */
  readonly pids: readonly number[];
}

export interface Result {
  readonly ok: boolean;
  readonly error?: string;
  readonly setupMs: number;
  /** First UPDATE written to last prefix received. */
  readonly announceMs?: number;
  readonly churnAnnounceMs?: readonly number[];
  readonly churnWithdrawMs?: readonly number[];
  /** Of the device, while it had to announce; while the sessions came up in `setup`. */
  readonly cpuMs: number;
  readonly idleRssKb: number;
  readonly peakRssKb: number;
  readonly generatorCpuMs: number;
  /** UPDATEs at the last receiver. */
  readonly messages: number;
  /** Dials that had to be repeated. */
  readonly redials: number;
  /** Routes that are not as a reflector must send them. */
  readonly badNextHop: number;
  readonly noOriginator: number;
  readonly ownRoutes: number;
  /** `timers`: the longest time nothing came from the device, on any session; and what this process was late by itself. */
  readonly silenceMs?: number;
  readonly generatorLateMs?: number;
}

const job: Job = JSON.parse(process.argv[2]!);
const PORT = 179;
const REDIAL_MS = 200;

const isTable = job.case === "table" || job.case === "timers";
const total = isTable ? job.prefixes : job.clients * job.prefixes;
const numberOf = isTable ? tableNumber : blockNumber;

const counts = { redials: 0, badNextHop: 0, noOriginator: 0, ownRoutes: 0 };
const firstClient = clientAddress(0);

class Client implements Reader {
  readonly index: number;
  readonly #framing = new Framing();
  #socket: Socket | undefined;
  #isEstablished = false;
  readonly #have = new Uint8Array(total + job.churn);
  count = 0;
  messages = 0;
  target = Number.POSITIVE_INFINITY;
  heardAt = 0;
  silenceMs = 0;

  constructor(index: number) {
    this.index = index;
  }

  dial(): void {
    const socket = connect({
      host: DEVICE_ADDRESS,
      port: PORT,
      localAddress: addressText(clientAddress(this.index)),
    });
    this.#socket = socket;
    socket.setNoDelay(true);
    let reason = "closed";
    socket.on("connect", () => socket.write(open(job.asn, job.holdTime, clientAddress(this.index))));
    socket.on("error", error => {
      reason = error.message;
    });
    socket.on("close", () => {
      if (this.#isEstablished) return fail(`session ${this.index} was lost: ${this.#notification ?? reason}`);
      counts.redials++;
      setTimeout(() => this.dial(), REDIAL_MS);
    });
    socket.on("data", chunk => {
      const now = performance.now();
      this.silenceMs = Math.max(this.silenceMs, now - this.heardAt);
      this.heardAt = now;
      this.#framing.read(chunk as Buffer, this);
    });
  }

  write(bytes: Uint8Array): void {
    this.#socket!.write(bytes);
  }

  #notification: string | undefined;

  onMessage(type: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case MessageType.update:
        this.#onUpdate(bytes, start, end);
        break;
      case MessageType.open:
        this.write(KEEPALIVE);
        break;
      case MessageType.keepalive:
        if (this.#isEstablished) break;
        this.#isEstablished = true;
        onEstablished(this);
        break;
      case MessageType.notification:
        this.#notification = `NOTIFICATION ${bytes[start]}/${bytes[start + 1]}`;
    }
  }

  #onUpdate(bytes: Buffer, start: number, end: number): void {
    const { withdrawnStart, withdrawnEnd, attributesStart, attributesEnd } = updateParts(bytes, start);
    if (withdrawnEnd > withdrawnStart) this.#prefixes(bytes, withdrawnStart, withdrawnEnd, 0);
    if (attributesEnd > attributesStart && attributesEnd < end) {
      const { nextHop, hasOriginator } = readAttributes(bytes, attributesStart, attributesEnd);
      if (nextHop < firstClient || nextHop >= firstClient + job.clients) counts.badNextHop++;
      if (nextHop === clientAddress(this.index)) counts.ownRoutes++;
      if (!hasOriginator) counts.noOriginator++;
      this.#prefixes(bytes, attributesEnd, end, 1);
    }
    if (end - start > 4) this.messages++;
    if (this.count === this.target) onTarget(this);
  }

  /** The loop that is run ten million times: no call in it but the table's. */
  #prefixes(bytes: Buffer, start: number, end: number, present: 0 | 1): void {
    const have = this.#have;
    let count = this.count;
    for (let at = start; at < end; ) {
      const size = (bytes[at]! + 7) >> 3;
      let address = bytes[at + 1]! << 24;
      if (size > 1) address |= bytes[at + 2]! << 16;
      if (size > 2) address |= bytes[at + 3]! << 8;
      if (size > 3) address |= bytes[at + 4]!;
      const number = numberOf(address);
      if (have[number] !== present) {
        have[number] = present;
        count += present === 1 ? 1 : -1;
      }
      at += 1 + size;
    }
    this.count = count;
  }
}

// --- waiting

let wake: (() => void) | undefined;
let failure: string | undefined;
let waitingFor = 0;

function fail(reason: string): void {
  failure ??= reason;
  wake?.();
}

/** Resolves when `waitingFor` has come down to 0. */
async function untilDone(what: string): Promise<number> {
  const timer = setTimeout(
    () => fail(`${what}: ${waitingFor} clients not within ${job.timeoutMs} ms`),
    job.timeoutMs,
  );
  if (waitingFor > 0 && failure === undefined)
    await new Promise<void>(resolve => {
      wake = resolve;
    });
  clearTimeout(timer);
  wake = undefined;
  if (failure !== undefined) throw new Error(failure);
  return doneAt;
}

let doneAt = 0;

function oneDone(): void {
  if (--waitingFor > 0) return;
  doneAt = performance.now();
  wake?.();
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

const clients = Array.from({ length: job.clients }, (_, index) => new Client(index));

function onTarget(client: Client): void {
  client.target = Number.POSITIVE_INFINITY;
  oneDone();
}

/** Clients wait for these counts from now on. */
function expect(targets: (client: Client) => number): void {
  waitingFor = 0;
  for (const client of clients) {
    const target = targets(client);
    if (client.count === target) continue;
    client.target = target;
    waitingFor++;
  }
}

// --- sessions

let nextToDial = 0;

function onEstablished(_client: Client): void {
  oneDone();
  if (nextToDial < clients.length) clients[nextToDial++]!.dial();
}

async function setUp(): Promise<number> {
  const started = performance.now();
  waitingFor = clients.length;
  const atOnce = job.pace === 0 ? clients.length : Math.min(job.pace, clients.length);
  nextToDial = atOnce;
  for (const client of clients.slice(0, atOnce)) client.dial();
  return (await untilDone("sessions")) - started;
}

// --- what is measured of the device

function deviceCpuMs(): number {
  let nanoseconds = 0;
  for (const pid of job.pids) {
    for (const task of tasks(pid)) {
      try {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
      } catch {} // A thread that has ended.
    }
  }
  return nanoseconds / 1e6;
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function deviceMemoryKb(field: "VmRSS" | "VmHWM"): number {
  let kilobytes = 0;
  for (const pid of job.pids) {
    try {
      const text = readFileSync(`/proc/${pid}/status`, "utf8");
      kilobytes += Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
    } catch {}
  }
  return kilobytes;
}

const ownCpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

// --- the cases

/** What each client writes when the clock starts, made beforehand. */
function tableBytes(): Buffer {
  const prefixes: Prefixes = tablePrefixes(job.prefixes);
  const { ends, attributes } = tableSets(job.prefixes, firstClient);
  const messages: Buffer[] = [];
  for (const [i, end] of ends.entries())
    messages.push(...announcements(prefixes, i === 0 ? 0 : ends[i - 1]!, end, attributes[i]!));
  return Buffer.concat(messages);
}

async function run(): Promise<Result> {
  const blocks = isTable ? undefined : blockPrefixes(total + job.churn);
  const own = (index: number) => ({ asPath: [], nextHop: clientAddress(index) });
  const table = isTable ? tableBytes() : undefined;
  const perClient = clients.map((_, c) =>
    blocks === undefined || job.case === "setup"
      ? undefined
      : Buffer.concat(announcements(blocks, c * job.prefixes, (c + 1) * job.prefixes, own(c))),
  );
  const churn =
    blocks === undefined || job.churn === 0
      ? undefined
      : {
          announce: Buffer.concat(announcements(blocks, total, total + job.churn, own(0))),
          withdraw: Buffer.concat(withdrawals(blocks, total, total + job.churn)),
        };
  const every = (job.holdTime * 1000) / 3;
  setInterval(() => {
    for (const client of clients.slice(0, nextToDial)) client.write(KEEPALIVE);
  }, every).unref();

  const idleRssKb = deviceMemoryKb("VmRSS");
  const cpuBefore = deviceCpuMs();
  const setupMs = await setUp();
  const setupCpuMs = deviceCpuMs() - cpuBefore;
  const done = (more: Partial<Result>): Result => ({
    ok: true,
    setupMs,
    cpuMs: setupCpuMs,
    idleRssKb,
    peakRssKb: deviceMemoryKb("VmHWM"),
    generatorCpuMs: 0,
    messages: clients.at(-1)!.messages,
    ...counts,
    ...more,
  });
  if (job.case === "setup") return done({});
  await pause(job.settleMs);

  const late = monitorEventLoopDelay({ resolution: 1 });
  if (job.case === "timers") late.enable();
  const start = performance.now();
  for (const client of clients) {
    client.heardAt = start;
    client.silenceMs = 0;
  }
  const [cpu, generatorCpu] = [deviceCpuMs(), ownCpuMs()];
  if (isTable) {
    expect(({ index }) => (index === 0 ? 0 : total));
    clients[0]!.write(table!);
  } else {
    expect(() => total - job.prefixes);
    for (const [c, bytes] of perClient.entries()) clients[c]!.write(bytes!);
  }
  const announceMs = (await untilDone("announcements")) - start;
  const measured = { announceMs, cpuMs: deviceCpuMs() - cpu, generatorCpuMs: ownCpuMs() - generatorCpu };
  if (job.case === "timers") {
    // Also afterwards nobody may be found to be late.
    await pause(2 * job.holdTime * 1000);
    if (failure !== undefined) throw new Error(failure);
    const now = performance.now();
    const silenceMs = Math.max(...clients.map(client => Math.max(client.silenceMs, now - client.heardAt)));
    return done({ ...measured, silenceMs, generatorLateMs: late.max / 1e6 });
  }
  const [churnAnnounceMs, churnWithdrawMs]: [number[], number[]] = [[], []];
  for (let round = 0; churn !== undefined && round < job.churnRounds; round++) {
    for (const [bytes, count, times] of [
      [churn.announce, job.churn, churnAnnounceMs],
      [churn.withdraw, 0, churnWithdrawMs],
    ] as const) {
      await pause(300);
      expect(({ index }) => (index === 0 ? total - job.prefixes : total - job.prefixes + count));
      const begin = performance.now();
      clients[0]!.write(bytes);
      times.push((await untilDone("churn")) - begin);
    }
  }
  return done({ ...measured, ...(churn !== undefined && { churnAnnounceMs, churnWithdrawMs }) });
}

try {
  const result = await run();
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} catch (error) {
  const counted = `${clients.filter(client => client.count > 0).length} clients have something, the last has ${clients.at(-1)!.count} of ${total}`;
  const failed = { ok: false, error: `${(error as Error).message} (${counted})` };
  process.stdout.write(`${JSON.stringify(failed)}\n`, () => process.exit(0));
}
