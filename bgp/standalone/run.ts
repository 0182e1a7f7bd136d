/** The standalone mode as a process: the file, signals, the status socket. What it does with a configuration is daemon.ts's. */

import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { BgpError } from "node-bgp";
import { systemClock } from "../../daemon/clock.ts";
import { createLogger, levelOf } from "../../daemon/log.ts";
import { runDaemon } from "../../daemon/main.ts";
import type { Source } from "../../input/parse.ts";
import { openWindows, parseListenAddress, type WindowSettings } from "../windows.ts";
import type { Configuration } from "./configuration.ts";
import { StandaloneDaemon } from "./daemon.ts";
import { PolicyCache } from "./policies.ts";
import { ConfigurationError, type Reading, readConfiguration } from "./read.ts";

/** Reads and judges a configuration file, without doing anything about it. @throws ConfigurationError */
export async function loadConfiguration(file: string): Promise<Reading> {
  return readConfiguration(readSource(file), {
    readPassword: name =>
      readFileSync(resolve(dirname(file), name), "utf8")
        .split("\n", 1)[0]!
        .trimEnd(),
    policies,
  });
}

/** Across reloads: what is the same stays the same function. */
const policies = new PolicyCache();

function readSource(file: string): Source {
  try {
    return { name: file, text: readFileSync(file, "utf8") };
  } catch (error) {
    const message = `cannot read the file: ${(error as Error).message}`;
    throw new ConfigurationError([{ place: { file, line: 1, column: 1 }, path: [], message }]);
  }
}

/** Ends the process where the file makes no sense, with what is wrong with it. */
async function loadOrExit(file: string): Promise<Reading> {
  try {
    return await loadConfiguration(file);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

/** `bgp --config FILE --check` */
export async function checkFile(file: string): Promise<void> {
  const { plan } = await loadOrExit(file);
  process.stdout.write(`${file}: fine, ${plan.neighbors.size} peers, ${plan.routes.size} networks\n`);
}

/** Runs until SIGTERM. */
export async function runStandalone(file: string): Promise<void> {
  const first = await loadOrExit(file);
  const logger = createLogger("bgp", first.configuration.log);
  const daemon = new StandaloneDaemon(first, {
    logger,
    createInstaller: async settings =>
      (await import("./install.ts")).kernelInstaller({ ...settings, logger, clock: systemClock }),
  });
  await runDaemon(logger, async signal => {
    const windows = await openWindows(daemon, windowSettings(first.configuration), logger);
    let reloading: Promise<void> = Promise.resolve();
    process.on("SIGHUP", () => {
      reloading = reloading.then(() => reload(signal));
    });
    async function reload(signal: AbortSignal): Promise<void> {
      if (signal.aborted) return;
      try {
        const next = await loadConfiguration(file);
        logger.level = levelOf(next.configuration.log ?? "info");
        logger.info(await daemon.reload(next), "configuration reloaded");
      } catch (error) {
        const expected = error instanceof ConfigurationError || error instanceof BgpError;
        if (!expected) throw error;
        logger.error({ reason: error.message }, "the new configuration is refused: the one before stays");
      }
    }
    try {
      await daemon.start();
      await aborted(signal);
    } finally {
      await reloading;
      await daemon.stop();
      await windows.close();
    }
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(done => {
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });
}

function windowSettings({ statusSocket = true, birdSocket, metrics }: Configuration): WindowSettings {
  const usual = join(process.env["CALYX_RUN_DIR"] ?? "/run/calyx", "bgp.sock");
  return {
    statusSocket: statusSocket === false ? undefined : statusSocket === true ? usual : statusSocket,
    birdFolder: birdSocket,
    metrics: metrics === undefined ? undefined : parseListenAddress(metrics),
  };
}
