/** `felix`: the host agent as a process. */

import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../daemon/clock.ts";
import { createLogger } from "../daemon/log.ts";
import { runDaemon } from "../daemon/main.ts";
import { serveStatus } from "../daemon/status-server.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import { determineNodeName } from "../node/name.ts";
import { Agent, ConfigChanged } from "./agent.ts";

const env = process.env;
const logger = createLogger("felix", env["FELIX_LOGSEVERITYSCREEN"]);

void runDaemon(logger, async signal => {
  const nodeName = env["FELIX_FELIXHOSTNAME"] ?? determineNodeName({ env });
  const clock = systemClock;
  const datastore = await connect(datastoreConfig({ env }), { logger, clock });
  try {
    // A changed configuration means a new agent in the same process: the kernel keeps what is in force meanwhile.
    while (!signal.aborted) {
      const agent = new Agent({ datastore, nodeName, env, logger, clock });
      const socket = await serveStatus(agent, {
        path: join(env["CALYX_RUN_DIR"] ?? "/run/calyx", "felix.sock"),
      });
      const servers = [socket];
      void agent.configured.then(async config => {
        logger.level = createLogger("felix", config.logSeverityScreen).level;
        const { healthEnabled, healthHost, healthPort } = config;
        if (healthEnabled) servers.push(await serveStatus(agent, { host: healthHost, port: healthPort }));
        const { prometheusMetricsEnabled, prometheusMetricsHost, prometheusMetricsPort } = config;
        if (prometheusMetricsEnabled) {
          servers.push(
            await serveStatus(agent, { host: prometheusMetricsHost || "::", port: prometheusMetricsPort }),
          );
        }
      });
      try {
        await agent.run(signal);
      } catch (error) {
        if (!(error instanceof ConfigChanged)) throw error;
        logger.info("the configuration changed, starting anew");
      } finally {
        await Promise.all(servers.map(server => server.close()));
      }
    }
  } finally {
    await datastore.close();
  }
});
