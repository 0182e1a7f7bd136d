/** What answers: TCP connections are accepted, UDP is echoed, and of either it is noted what arrived. */

import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { AddressFamily, bind, SocketType, socket } from "../../linux/libc.ts";
import { inNamespace } from "../../linux/namespace.ts";
import { socketAddress } from "../../linux/socket-address.ts";
import { openStreamListener } from "../../linux/stream-socket.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import { tokenOf } from "./payload.ts";

export class Listeners {
  readonly #servers = new Map<string, Promise<Server | DatagramSocket>>();
  readonly #arrived: (token: number) => void;

  constructor(arrived: (token: number) => void) {
    this.#arrived = arrived;
  }

  /** Answers at the address and port from now on. @throws where somebody else has the port */
  async open(protocol: "TCP" | "UDP", namespace: string, address: Ip, port: number): Promise<void> {
    const name = `${protocol} ${namespace} ${address} ${port}`;
    let server = this.#servers.get(name);
    if (!server) {
      server = protocol === "TCP" ? accept(namespace, address, port) : this.#echo(namespace, address, port);
      this.#servers.set(name, server);
    }
    await server;
  }

  /** Nobody answers in this namespace any more. */
  async forget(namespace: string): Promise<void> {
    for (const [name, server] of this.#servers) {
      if (name.split(" ")[1] !== namespace) continue;
      this.#servers.delete(name);
      (await server).close();
    }
  }

  async close(): Promise<void> {
    for (const server of this.#servers.values()) (await server.catch(() => undefined))?.close();
    this.#servers.clear();
  }

  async #echo(namespace: string, address: Ip, port: number): Promise<DatagramSocket> {
    const server = await datagramSocket(namespace, address, port);
    server.on("message", (message, from) => {
      const token = tokenOf(message);
      if (token !== undefined) this.#arrived(token);
      server.send(message, from.port, from.address, () => {});
    });
    server.on("error", () => {}); // an ICMP error of somebody who is gone
    return server;
  }
}

async function accept(namespace: string, address: Ip, port: number): Promise<Server> {
  const server = createServer(connection => {
    connection.on("error", () => {});
    connection.resume();
  });
  const fd = openStreamListener({ ip: address, port, namespace });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ fd }, resolve));
  return server;
}

/** A bound socket of a namespace, as Node's. */
async function datagramSocket(namespace: string, address: Ip, port: number): Promise<DatagramSocket> {
  const fd = openDatagramSocket(namespace, address);
  bind(fd, socketAddress(address, port));
  return adopt(fd, address);
}

/** Not bound; of the address's IP version. */
export function openDatagramSocket(namespace: string, address: Ip): number {
  const family = ipVersion(address) === 4 ? AddressFamily.INET : AddressFamily.INET6;
  return inNamespace(namespace, () => socket(family, SocketType.DGRAM | SocketType.NONBLOCK, 0));
}

export async function adopt(fd: number, address: Ip): Promise<DatagramSocket> {
  const adopted = createSocket(ipVersion(address) === 4 ? "udp4" : "udp6");
  await new Promise<void>((resolve, reject) => {
    adopted.once("error", reject);
    adopted.bind({ fd }, resolve);
  });
  adopted.removeAllListeners("error");
  return adopted;
}
