/**
 * The control sockets of Calico's two birds, answered by us. Where a bird is alive behind one of them, or the folder is not ours to write,
 * there is none: what this daemon is for does not depend on it.
 */

import { accessSync, constants } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { writeGently } from "../../daemon/backpressure.ts";
import { removeStaleSocket } from "../../daemon/status-server.ts";
import { answer, type BirdView, greeting } from "./commands.ts";

/** More than any command; a client that sends no line end is not listened to for ever. */
const LINE_LIMIT = 4096;
const IDLE_MS = 300_000;

export interface BirdSockets {
  /** Those that are there. */
  readonly paths: readonly string[];
  close(): Promise<void>;
}

/**
 * @param folder with bird.ctl and bird6.ctl; not made, as its being there is what says that Calico's tools look there
 * @param view what there is at the moment
 * @param onProblem why a socket is not there
 */
export async function serveBirdSockets(
  folder: string,
  version: string,
  view: (ipVersion: 4 | 6) => BirdView,
  onProblem: (path: string, reason: string) => void,
): Promise<BirdSockets> {
  const servers: { path: string; close(): Promise<void> }[] = [];
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    onProblem(folder, (error as Error).message);
    return { paths: [], close: async () => {} };
  }
  for (const [file, ipVersion] of [
    ["bird.ctl", 4],
    ["bird6.ctl", 6],
  ] as const) {
    const path = join(folder, file);
    try {
      servers.push({ path, ...(await serve(path, version, () => view(ipVersion))) });
    } catch (error) {
      onProblem(path, (error as Error).message);
    }
  }
  return {
    paths: servers.map(({ path }) => path),
    close: async () => {
      for (const server of servers) await server.close();
    },
  };
}

async function serve(
  path: string,
  version: string,
  view: () => BirdView,
): Promise<{ close(): Promise<void> }> {
  await removeStaleSocket(path);
  const clients = new Set<Socket>();
  const server = createServer(socket => {
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.setEncoding("utf8").write(greeting(version));
    void talk(socket, view);
  });
  await listen(server, path);
  server.unref();
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const client of clients) client.destroy();
      }),
  };
}

async function talk(socket: Socket, view: () => BirdView): Promise<void> {
  let rest = "";
  try {
    for await (const chunk of socket) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      if (rest.length > LINE_LIMIT) return;
      for (const line of lines) await reply(socket, line, view());
    }
  } catch {
    // The client went away: nobody is left to be told.
  } finally {
    socket.destroy();
  }
}

async function reply(socket: Socket, line: string, view: BirdView): Promise<void> {
  for (const piece of answer(line, view)) {
    await writeGently(socket, piece);
    if (socket.destroyed) return;
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject).on("error", () => {});
      resolve();
    });
  });
}
