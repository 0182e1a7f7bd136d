/** A real etcd on free loopback ports with its data in a temporary folder: started, stopped and broken by tests. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface ServerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export class EtcdServer {
  readonly endpoint: string;
  readonly #arguments: string[];
  readonly #folder: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  static installed(): boolean {
    try {
      execFileSync("etcd", ["--version"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  static async start(tls?: ServerTls): Promise<EtcdServer> {
    const server = new EtcdServer(await freePort(), await freePort(), tls);
    await server.start();
    return server;
  }

  constructor(clientPort: number, peerPort: number, tls?: ServerTls) {
    this.#folder = mkdtempSync(join(tmpdir(), "calyx-etcd-"));
    this.#port = clientPort;
    this.endpoint = `${tls ? "https" : "http"}://127.0.0.1:${clientPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    this.#arguments = [
      `--data-dir=${join(this.#folder, "data")}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      "--log-level=error",
    ];
    if (tls) {
      this.#arguments.push(
        `--cert-file=${tls.cert}`,
        `--key-file=${tls.key}`,
        `--trusted-ca-file=${tls.ca}`,
        "--client-cert-auth",
      );
    }
  }

  /** Resolves when the server accepts connections. */
  async start(): Promise<void> {
    this.#process = spawn("etcd", this.#arguments, { stdio: "ignore" });
    this.#process.on("error", () => {});
    for (let attempt = 0; attempt < 200; attempt++) {
      if (await accepts(this.#port)) return;
      await new Promise(resolve => setTimeout(resolve, 25));
    }
    throw new Error("etcd did not start");
  }

  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await exited;
  }

  /** Silent but connected: what a partition looks like. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Throws the data away: the next start is of an empty cluster. */
  forget(): void {
    rmSync(join(this.#folder, "data"), { recursive: true, force: true });
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
