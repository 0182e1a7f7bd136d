/** A TCP connection between two namespaces on which something is said all the time, by one side or both. */

import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";
import { openStreamListener, openStreamSocket } from "../../../linux/stream-socket.ts";
import { type Ip, ipVersion } from "../../../net/ip.ts";

const EVERY_MS = 10;
/** As long as nothing may come before it is called silence: many times {@link EVERY_MS}. */
const SILENCE_MS = 300;

export interface StreamOptions {
  readonly from: string;
  readonly to: string;
  readonly address: Ip;
  readonly port: number;
  /** Where the server listens, if packets are led there from `address` and `port`. */
  readonly behind?: { readonly address: Ip; readonly port: number };
}

export class Stream {
  readonly #client: Socket;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #accepted: Socket[] = [];
  #received = 0;

  private constructor(server: Server, client: Socket) {
    this.#client = client;
    server.on("connection", socket => {
      this.#accepted.push(socket.on("error", () => {}));
    });
    client.on("data", chunk => {
      this.#received += chunk.length;
    });
    client.on("error", () => {});
  }

  /** The server talks: a download, of which the client acknowledges all and says nothing. */
  static async download(options: StreamOptions): Promise<Stream> {
    const stream = await Stream.#open(options);
    const [socket] = stream.#accepted;
    stream.#timers.push(setInterval(() => socket?.write("x".repeat(50)), EVERY_MS));
    return stream;
  }

  /** The client talks, and the server repeats it. */
  static async echo(options: StreamOptions): Promise<Stream> {
    const stream = await Stream.#open(options);
    const [socket] = stream.#accepted;
    socket?.pipe(socket);
    stream.#timers.push(setInterval(() => stream.#client.write("x".repeat(50)), EVERY_MS));
    return stream;
  }

  static async #open({ from, to, address, port, behind }: StreamOptions): Promise<Stream> {
    const listener = openStreamListener({
      namespace: to,
      ip: behind?.address ?? address,
      port: behind?.port ?? port,
    });
    const server = createServer().listen({ fd: listener });
    const client = new Socket({
      fd: openStreamSocket(ipVersion(address), { namespace: from }),
      manualStart: true,
    } as never);
    const stream = new Stream(server, client);
    const accepted = once(server, "connection");
    client.connect({ host: address, port });
    await Promise.all([once(client, "connect"), accepted]);
    // For this one only: the next may listen at the same port.
    server.close();
    return stream;
  }

  /** Whether anything arrives from now on. */
  async goesOn(): Promise<boolean> {
    const before = this.#received;
    const deadline = performance.now() + SILENCE_MS;
    while (performance.now() < deadline && this.#received === before)
      await new Promise(resolve => setTimeout(resolve, EVERY_MS));
    return this.#received > before;
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#client.destroy();
    for (const socket of this.#accepted) socket.destroy();
  }
}
