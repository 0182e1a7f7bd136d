/** `felix`: the host agent as a process. */

import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../daemon/clock.ts";
import { createLogger, levelOf } from "../daemon/log.ts";
import { requireRoot, runDaemon } from "../daemon/main.ts";
import { type ListenAddress, serveStatus } from "../daemon/status-server.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import { IpAllocator } from "../ipam/allocator.ts";
import { EmptyBlockCollector } from "../ipam/gc.ts";
import { hostAffinity } from "../ipam/records.ts";
import { IpamStore } from "../ipam/store.ts";
import { readEnvironment } from "../node/environment.ts";
import { lockHost } from "../node/host-lock.ts";
import { defendNodeName, machineIdentity } from "../node/identity.ts";
import { determineNodeName } from "../node/node-name.ts";
import { Agent, ConfigChanged } from "./agent.ts";
import type { FelixConfig } from "./calc/config.ts";

const env = process.env;
const logger = createLogger("felix", env["FELIX_LOGSEVERITYSCREEN"]);
const clock = systemClock;

/** A block that was empty and untouched at two looks in a row is given back. */
const EMPTY_BLOCKS_MS = 5 * 60_000;

requireRoot("felix");
void runDaemon(logger, async signal => {
  const runDirectory = env["CALYX_RUN_DIR"] ?? "/run/calyx";
  using _lock = lockHost(runDirectory, "felix");
  const environment = readEnvironment(env);
  const nodeName = env["FELIX_FELIXHOSTNAME"] ?? determineNodeName(environment);
  const datastore = await connect(datastoreConfig({ env }), { logger, clock, mustExist: true });
  try {
    const identity = machineIdentity(environment.nodenameFile);
    void defendNodeName({ datastore, nodeName, identity, logger, clock, signal, onLost: () => {} });
    const collector = new EmptyBlockCollector({
      store: new IpamStore(datastore),
      allocator: new IpAllocator(datastore, { clock, logger }),
      clock,
      logger,
      owner: hostAffinity(nodeName),
    });
    void collector.runEvery(EMPTY_BLOCKS_MS, signal);
    // A changed configuration means a new agent in the same process: the kernel keeps what is in force meanwhile.
    while (!signal.aborted) {
      const agent = new Agent({ datastore, nodeName, env, logger, clock });
      const local = await serveStatus(agent, { path: join(runDirectory, "felix.sock") });
      const ended = new AbortController();
      void agent.configured.then(config => {
        logger.level = levelOf(config.logSeverityScreen);
        for (const address of listenAddresses(config)) void listen(agent, address, ended.signal);
      });
      try {
        await agent.run(signal);
      } catch (error) {
        if (!(error instanceof ConfigChanged)) throw error;
        logger.info("the configuration changed, starting anew");
      } finally {
        ended.abort();
        await local.close();
      }
    }
  } finally {
    await datastore.close();
  }
});

/** Until the signal. A port that is taken is no reason to leave the host without an agent. */
async function listen(agent: Agent, address: ListenAddress, signal: AbortSignal): Promise<void> {
  try {
    const server = await serveStatus(agent, address);
    if (signal.aborted) await server.close();
    else signal.addEventListener("abort", () => void server.close(), { once: true });
  } catch (error) {
    logger.error({ err: error, ...address }, "cannot listen, going on without");
  }
}

/** Ports for Kubernetes probes and for Prometheus, where configured. */
function listenAddresses(config: FelixConfig): ListenAddress[] {
  const addresses: ListenAddress[] = [];
  if (config.healthEnabled) addresses.push({ host: config.healthHost, port: config.healthPort });
  if (config.prometheusMetricsEnabled) {
    addresses.push({ host: config.prometheusMetricsHost || "::", port: config.prometheusMetricsPort });
  }
  return addresses;
}
