/** The datastore mode as a process: the BGP daemon of a node of the cluster. */

import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../daemon/clock.ts";
import { createLogger, levelOf } from "../daemon/log.ts";
import { requireRoot, runDaemon } from "../daemon/main.ts";
import { connect, datastoreConfig } from "../datastore/config.ts";
import { EventSubscription } from "../linux/events.ts";
import { Rtnetlink } from "../linux/rtnetlink.ts";
import { readEnvironment } from "../node/environment.ts";
import { lockHost } from "../node/host-lock.ts";
import { determineNodeName } from "../node/node-name.ts";
import { BgpDaemon } from "./daemon.ts";
import { interfacePrefixes } from "./interface-prefixes.ts";
import { Kernel } from "./kernel.ts";
import { environmentPasswords, filePasswords, firstPassword } from "./passwords.ts";
import { openWindows, parseListenAddress } from "./windows.ts";

export function runDatastoreMode(): void {
  const env = process.env;
  const severity = env["BGP_LOGSEVERITYSCREEN"];
  const logger = createLogger("bgp", severity);
  requireRoot("bgp");
  void runDaemon(logger, async signal => {
    const clock = systemClock;
    const runDirectory = env["CALYX_RUN_DIR"] ?? "/run/calyx";
    using _lock = lockHost(runDirectory, "bgp");
    const datastore = await connect(datastoreConfig({ env }), { logger, clock, mustExist: true });
    const nodeName = determineNodeName(readEnvironment(env));
    const interfacePrefix = env["FELIX_INTERFACEPREFIX"];
    try {
      const daemon = new BgpDaemon({
        datastore,
        nodeName,
        logger,
        clock,
        routerId: env["CALICO_ROUTER_ID"],
        interfacePrefix,
        onLogSeverity: configured => {
          logger.level = levelOf(severity ?? configured ?? "Info");
        },
        kubernetesNodeName: env["CALICO_K8S_NODE_REF"] || undefined,
        passwords: firstPassword(
          filePasswords(env["CALYX_SECRETS_DIR"] ?? "/etc/calyx/secrets"),
          environmentPasswords(env),
        ),
        kernel: new Kernel({
          interfacePrefixes: interfacePrefixes(new Map(), nodeName, interfacePrefix),
          logger,
          clock,
          rtnetlink: Rtnetlink.open(),
          subscribe: EventSubscription.open,
        }),
      });
      // Where the folder of Calico's sockets is missing, nobody looks for one.
      const metrics = env["BGP_PROMETHEUSMETRICSADDRESS"];
      const birdFolder = env["CALYX_BIRD_DIR"] ?? "/var/run/calico";
      const windows = await openWindows(
        daemon,
        {
          statusSocket: join(runDirectory, "bgp.sock"),
          birdFolder: birdFolder === "" ? undefined : birdFolder,
          metrics: metrics === undefined ? undefined : parseListenAddress(metrics),
        },
        logger,
      );
      try {
        await daemon.run(signal);
      } finally {
        await windows.close();
      }
    } finally {
      await datastore.close();
    }
  });
}
