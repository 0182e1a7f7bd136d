/**
 * The socket vtysh talks to: a command and a zero byte go out; its output comes back, ended by three zero bytes and the status. One command at a time. Without
 * starting a vtysh for each, a test can ask often.
 */

import { connect, type Socket } from "node:net";

const SUCCESS = 0;
/** CMD_WARNING: said of things that are not as asked for, such as a neighbor that is already so. */
const WARNING = 1;

export class FrrVty {
  readonly #socket: Socket;
  readonly #waiting: { resolve(text: string): void; reject(error: Error): void; command: string }[] = [];
  #chunks: Buffer[] = [];

  /** Rejects where nobody listens (yet). */
  static open(path: string): Promise<FrrVty> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        const vty = new FrrVty(socket);
        vty.ask("enable").then(() => resolve(vty), reject);
      });
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", chunk => this.#onData(chunk as Buffer));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject, command } of this.#waiting.splice(0))
        reject(new Error(`frr went away: ${command}`));
    });
  }

  /** Answers come in the order of the commands. Rejects where frr says that the command is wrong. */
  ask(command: string): Promise<string> {
    if (this.#socket.destroyed) return Promise.reject(new Error(`frr is gone: ${command}`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, command });
      this.#socket.write(`${command}\0`);
    });
  }

  /** In configuration mode; `node` is what leads to the part, e.g. `router bgp 64512`. */
  async configure(...commands: readonly string[]): Promise<void> {
    const answers = ["configure terminal", ...commands, "end"].map(command => this.ask(command));
    await Promise.all(answers);
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#chunks.push(chunk);
    // The end may be cut: four bytes of what is before are enough to see it.
    const last = this.#chunks.length > 1 ? Buffer.concat(this.#chunks.slice(-2)) : chunk;
    if (last.indexOf("\0\0\0") < 0) return;
    let rest = Buffer.concat(this.#chunks);
    for (let end = rest.indexOf("\0\0\0"); end >= 0 && end + 3 < rest.length; end = rest.indexOf("\0\0\0")) {
      this.#answer(rest.subarray(0, end).toString(), rest[end + 3]!);
      rest = rest.subarray(end + 4);
    }
    this.#chunks = rest.length > 0 ? [rest] : [];
  }

  #answer(text: string, status: number): void {
    const { resolve, reject, command } = this.#waiting.shift()!;
    if (status === SUCCESS || status === WARNING) resolve(text);
    else reject(new Error(`frr: ${command}: ${text.trim() || `status ${status}`}`));
  }
}
