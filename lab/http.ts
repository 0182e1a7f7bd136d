/**
 * One HTTP request over a socket that was made in a namespace. By hand, because an HTTP library that finds a reason to
 * open a connection of its own would open it in the wrong network.
 */

import { Socket } from "node:net";
import { openStreamSocket } from "../linux/stream-socket.ts";
import { type Ip, ipVersion } from "../net/ip.ts";

/** The response's status, or undefined where none came in time. */
export function fetchFrom(
  namespace: string,
  address: Ip,
  port: number,
  timeoutMs: number,
): Promise<number | undefined> {
  const fd = openStreamSocket(ipVersion(address), { namespace });
  const connection = new Socket({ fd, manualStart: true } as never);
  return new Promise(resolve => {
    let response = "";
    const finish = (status: number | undefined) => {
      clearTimeout(timer);
      connection.destroy();
      resolve(status);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    connection.once("error", () => finish(undefined));
    connection.once("close", () => finish(undefined));
    connection.once("connect", () =>
      connection.write(`GET / HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`),
    );
    connection.on("data", chunk => {
      response += chunk.toString("latin1");
      const status = /^HTTP\/1\.[01] (\d{3}) /.exec(response)?.[1];
      if (status !== undefined) finish(Number(status));
    });
    connection.connect({ host: address, port });
  });
}
