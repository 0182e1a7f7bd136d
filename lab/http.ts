/** One HTTP request over a socket that was made in a namespace. */

import { Agent, request } from "node:http";
import { Socket } from "node:net";
import { openTcpSocket } from "../linux/socket-options.ts";

/** The response's status, or undefined where none came in time. */
export function fetchFrom(
  namespace: string,
  host: string,
  port: number,
  timeoutMs: number,
): Promise<number | undefined> {
  const fd = openTcpSocket(4, { namespace });
  const connection = new Socket({ fd, manualStart: true } as never);
  return new Promise(resolve => {
    const finish = (status: number | undefined) => {
      clearTimeout(timer);
      connection.destroy();
      resolve(status);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    connection.once("error", () => finish(undefined));
    connection.connect({ host, port });
    const outgoing = request(
      { host, port, agent: new Agent(), createConnection: () => connection },
      response => {
        response.resume();
        finish(response.statusCode);
      },
    );
    outgoing.on("error", () => finish(undefined));
    outgoing.end();
  });
}
