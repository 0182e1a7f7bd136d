/** UDP between two namespaces: each side says something all the time, whether it hears anything or not. */

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { AddressFamily, bind, SocketType, socket } from "../../../linux/libc.ts";
import { inNamespace } from "../../../linux/namespace.ts";
import { socketAddress } from "../../../linux/socket-address.ts";
import { type Ip, ipVersion } from "../../../net/ip.ts";

const EVERY_MS = 10;
/** As long as nothing may come before it is called silence: many times {@link EVERY_MS}. */
const SILENCE_MS = 300;

export interface DatagramOptions {
  readonly from: string;
  readonly to: string;
  readonly address: Ip;
  readonly port: number;
}

export class Datagrams {
  readonly #sockets: readonly Socket[];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #heard = { client: 0, server: 0 };

  private constructor(client: Socket, server: Socket) {
    this.#sockets = [client, server];
    for (const each of this.#sockets) each.on("error", () => {});
    client.on("message", () => this.#heard.client++);
    server.on("message", () => this.#heard.server++);
  }

  /** The client speaks first: the server answers to where that came from. */
  static async open({ from, to, address, port }: DatagramOptions): Promise<Datagrams> {
    const client = await bound(from, address);
    const server = await bound(to, address, port);
    const datagrams = new Datagrams(client, server);
    datagrams.#say(client, port, address);
    const [, peer] = await once(server, "message");
    datagrams.#say(server, peer.port, peer.address);
    await once(client, "message");
    return datagrams;
  }

  /** Which sides hear anything from now on. */
  async heard(): Promise<{ readonly client: boolean; readonly server: boolean }> {
    const before = { ...this.#heard };
    const now = () => ({
      client: this.#heard.client > before.client,
      server: this.#heard.server > before.server,
    });
    const deadline = performance.now() + SILENCE_MS;
    while (performance.now() < deadline && !(now().client && now().server))
      await new Promise(resolve => setTimeout(resolve, EVERY_MS));
    return now();
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const each of this.#sockets) each.close();
  }

  #say(socket: Socket, port: number, address: string): void {
    this.#timers.push(setInterval(() => socket.send("x", port, address, () => {}), EVERY_MS));
  }
}

/** At any port unless one is given. */
async function bound(namespace: string, address: Ip, port?: number): Promise<Socket> {
  const [family, type] =
    ipVersion(address) === 4
      ? ([AddressFamily.INET, "udp4"] as const)
      : ([AddressFamily.INET6, "udp6"] as const);
  const fd = inNamespace(namespace, () => socket(family, SocketType.DGRAM | SocketType.NONBLOCK, 0));
  if (port !== undefined) bind(fd, socketAddress(address, port));
  const opened = createSocket(type);
  await new Promise<void>(resolve => opened.bind({ fd }, resolve));
  return opened;
}
