/** Traffic that runs while things are broken, and says afterwards what it noticed. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Lab } from "../../lab/lab.ts";
import { openStreamSocket } from "../../linux/stream-socket.ts";
import { ROOT } from "../system/test-lab.ts";
import type { Attack } from "./attacker.ts";

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
