/**
 * The etcd of a lab: a server on the machine's loopback, where calctl reaches it, and a relay that listens on the lab's
 * wire, where its hosts reach it. The server itself needs no namespace, and cutting the relay cuts the hosts off.
 */

import { spawnSync } from "node:child_process";
import { get } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../daemon/clock.ts";
import type { Ip } from "../net/ip.ts";
import { isAlive, LAB_VARIABLE, type ProcessRef, ROOT, startDetached } from "./process.ts";
import { LabError, LabErrorCode } from "./state.ts";

/** Where hosts find it. */
export const ETCD_PORT = 2379;
const START_TIMEOUT_MS = 15_000;

export interface LabEtcd {
  readonly server: ProcessRef;
  readonly relay: ProcessRef;
  /** On the machine's loopback. */
  readonly endpoint: string;
}

/** @throws LabError where etcd is not installed or does not start */
export async function startEtcd(options: {
  lab: string;
  fabric: string;
  address: Ip;
  directory: string;
}): Promise<LabEtcd> {
  if (spawnSync("etcd", ["--version"], { stdio: "ignore" }).error) {
    throw new LabError(
      LabErrorCode.NotFound,
      "etcd is not installed: apt-get install etcd-server, or use the embedded datastore",
    );
  }
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const relay = startDetached(
    [
      process.execPath,
      join(ROOT, "lab", "relay.ts"),
      options.fabric,
      options.address,
      String(ETCD_PORT),
      String(port),
    ],
    { log: join(options.directory, "relay.log"), env: { [LAB_VARIABLE]: options.lab } },
  );
  const server = await startEtcdServer({ ...options, endpoint });
  return { server, relay, endpoint };
}

/** The server alone, on what data there is. @throws LabError where it does not start */
export async function startEtcdServer(options: {
  lab: string;
  directory: string;
  endpoint: string;
}): Promise<ProcessRef> {
  const { directory, endpoint } = options;
  const peers = `http://127.0.0.1:${await freePort()}`;
  const log = join(directory, "etcd.log");
  const server = startDetached(
    [
      "etcd",
      ...["--name", "lab", "--data-dir", join(directory, "etcd")],
      ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
      ...["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers],
      ...["--initial-cluster", `lab=${peers}`],
    ],
    { log, env: { [LAB_VARIABLE]: options.lab } },
  );
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await healthy(endpoint))) {
    if (!isAlive(server) || Date.now() > deadline)
      throw new LabError(LabErrorCode.TimedOut, `etcd did not start, see ${log}`);
    await systemClock.sleep(50);
  }
  return server;
}

function healthy(endpoint: string): Promise<boolean> {
  return new Promise(resolve => {
    get(`${endpoint}/health`, { timeout: 1000 }, response => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
