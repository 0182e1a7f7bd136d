/** The flow log put together: packets from the kernel, names from the datastore. */

import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { Reflector } from "../../datastore/reflector.ts";
import { Nflog } from "../../linux/nflog/nflog.ts";
import { EndpointNames, NAMED_KINDS } from "./endpoint-names.ts";
import { FlowLog, type FlowLogOptions } from "./flow-log.ts";

export interface RunningFlowLog {
  readonly log: FlowLog;
  /** Resolves when the NFLOG groups are free for the next. */
  stop(): Promise<void>;
}

export function startFlowLog(options: {
  readonly datastore: Datastore;
  readonly windowMs: number;
  readonly metrics: FlowLogOptions["metrics"];
  readonly judgeStaged: FlowLogOptions["judgeStaged"];
  readonly clock: Clock;
  readonly logger: Logger;
}): RunningFlowLog {
  const { datastore, windowMs, metrics, judgeStaged, clock, logger } = options;
  const names = new EndpointNames();
  const reflector = new Reflector({
    datastore,
    queries: NAMED_KINDS.map(kind => ({ kind })),
    onUpdates: updates => names.apply(updates),
    logger,
    clock,
  });
  const log = new FlowLog({
    windowMs,
    end: address => names.end(address),
    metrics,
    judgeStaged,
    clock,
    logger,
    open: Nflog.open,
  });
  const stopped = new AbortController();
  const ended = Promise.all([reflector.run(stopped.signal), log.run(stopped.signal)]).catch(error =>
    logger.error({ err: error }, "the flow log ended"),
  );
  return {
    log,
    stop: async () => {
      stopped.abort();
      await ended;
    },
  };
}
