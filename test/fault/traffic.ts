/** Traffic that runs while things are broken, and says afterwards what it noticed. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Lab } from "../../lab/lab.ts";
import { adopt, openDatagramSocket } from "../../lab/packets/listeners.ts";
import { openStreamSocket } from "../../linux/stream-socket.ts";
import { ROOT } from "../system/test-lab.ts";
import type { Attack } from "./attacker.ts";

const FRESH_EVERY_MS = 10;
/** Long, for a busy machine: what was dropped is never answered. */
const ANSWER_MS = 3000;

/** An attacker at work in a workload. */
export class RunningAttack {
  readonly name: string;
  readonly #child: ChildProcess;
  #output = "";

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", chunk => {
      this.#output += chunk;
    });
  }

  static async start(lab: Lab, from: string, to: string, ...targets: string[]): Promise<RunningAttack> {
    const program = join(ROOT, "test", "fault", "attacker.ts");
    const child = lab.exec(from, [process.execPath, program, lab.addressOf(to), ...targets], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const attack = new RunningAttack(`${from} -> ${to}`, child);
    await once(child.stdout!, "data");
    return attack;
  }

  async stop(): Promise<Attack> {
    const ended = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    await ended;
    return JSON.parse(this.#output.slice(this.#output.indexOf("{")));
  }
}

/** One TCP connection to an echo server that says something all the time. */
export class EchoStream {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #sent = 0;
  #echoed = "";
  #end: string | undefined;

  constructor(lab: Lab, from: string, to: string, port: number) {
    const fd = openStreamSocket(4, { namespace: lab.namespaceOf(from) });
    this.#socket = new Socket({ fd, manualStart: true } as never);
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", chunk => {
      this.#echoed += chunk;
    });
    this.#socket.on("error", error => {
      this.#end = error.message;
    });
    this.#socket.on("close", () => {
      this.#end ??= "closed by the other side";
    });
    this.#socket.connect({ host: lab.addressOf(to), port });
    this.#timer = setInterval(() => this.#say(), 10);
  }

  /** Undefined when every line that was sent came back, else what happened. */
  async stop(): Promise<string | undefined> {
    clearInterval(this.#timer);
    const expected = Array.from({ length: this.#sent }, (_, i) => `line ${i}\n`).join("");
    const deadline = Date.now() + 3000;
    while (this.#echoed.length < expected.length && this.#end === undefined && Date.now() < deadline)
      await new Promise(resolve => setTimeout(resolve, 10));
    const end = this.#end;
    this.#socket.destroy();
    if (this.#sent === 0) return "nothing sent";
    if (end !== undefined) return end;
    return this.#echoed === expected ? undefined : `${expected.length - this.#echoed.length} bytes missing`;
  }

  #say(): void {
    if (this.#end === undefined) this.#socket.write(`line ${this.#sent++}\n`);
  }
}

/** One UDP flow after another, each of a socket of its own and one packet, to an echo server. */
export class FreshFlows {
  readonly #timer: NodeJS.Timeout;
  readonly #unanswered = new Map<number, number>();
  #sent = 0;

  constructor(lab: Lab, from: string, to: string, port: number) {
    const [namespace, address] = [lab.namespaceOf(from), lab.addressOf(to)];
    this.#timer = setInterval(async () => {
      const number = this.#sent++;
      this.#unanswered.set(number, Date.now());
      const socket = await adopt(openDatagramSocket(namespace, address), address);
      const finish = () => {
        clearTimeout(patience);
        socket.close();
      };
      const patience = setTimeout(finish, ANSWER_MS);
      socket.on("error", () => {});
      socket.once("message", () => {
        this.#unanswered.delete(number);
        finish();
      });
      socket.send("fresh", port, address, () => {});
    }, FRESH_EVERY_MS);
  }

  /** How many were sent, and when those were sent that nobody answered. */
  async stop(): Promise<{ readonly sent: number; readonly lost: readonly number[] }> {
    clearInterval(this.#timer);
    const deadline = Date.now() + ANSWER_MS;
    while (this.#unanswered.size > 0 && Date.now() < deadline)
      await new Promise(resolve => setTimeout(resolve, 10));
    return { sent: this.#sent, lost: [...this.#unanswered.values()] };
  }
}
