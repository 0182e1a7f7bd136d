/**
 * What felix answers on its status socket beyond its status, for calctl:
 *
 *   GET /felix/counters                                          JSON: how often each rule of a policy or profile has matched
 *   GET /felix/flows?namespace=&policy=&verdict=&follow=true     one JSON value a line; `follow` goes on with what is seen
 *
 * Only on the socket file: who may probe a port is not thereby allowed to see who talks to whom.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { RuleCounter } from "../dataplane/packet-filter.ts";
import { type Flow, type FlowFilter, isWanted } from "./flow.ts";
import type { FlowLog } from "./flow-log.ts";

export interface QuerySource {
  /** Undefined where flows are not logged. */
  readonly flowLog: FlowLog | undefined;
  /** @throws while there is no packet filter */
  counters(): Promise<readonly RuleCounter[]>;
}

/** An empty line now and then: each end finds out that the other is gone. */
const HEARTBEAT_MS = 1_000;
/** What a follower may be behind before it misses flows. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

const HOW_TO_ENABLE =
  "flows are not logged on this host: set flowLogsLocalReporter to Enabled in its FelixConfiguration, or FELIX_FLOWLOGSLOCALREPORTER=Enabled for its felix";

/** Whether the request is one of these; the answer may still be under way. */
export function serveQueries(
  source: QuerySource,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (request.socket.remoteAddress !== undefined) return false;
  const url = new URL(request.url ?? "/", "http://localhost");
  switch (`${request.method} ${url.pathname}`) {
    case "GET /felix/counters":
      source.counters().then(
        counters => json(response, counters),
        error => refuse(response, 503, (error as Error).message),
      );
      return true;
    case "GET /felix/flows":
      answerFlows(source.flowLog, url.searchParams, response);
      return true;
    default:
      return false;
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(value)}\n`);
}

function refuse(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { "content-type": "text/plain" }).end(`${text}\n`);
}

function answerFlows(log: FlowLog | undefined, parameters: URLSearchParams, response: ServerResponse): void {
  if (log === undefined) {
    refuse(response, 409, HOW_TO_ENABLE);
    return;
  }
  const verdict = parameters.get("verdict") ?? undefined;
  if (verdict !== undefined && verdict !== "allow" && verdict !== "deny") {
    refuse(response, 400, `verdict=${verdict} is not allow or deny`);
    return;
  }
  const filter: FlowFilter = {
    verdict,
    namespace: parameters.get("namespace") ?? undefined,
    policy: parameters.get("policy") ?? undefined,
  };
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  response.write(lines(log.flows(), filter));
  if (parameters.get("follow") === "true") follow(log, filter, response);
  else response.end();
}

function lines(flows: readonly Flow[], filter: FlowFilter): string {
  return flows
    .filter(flow => isWanted(flow, filter))
    .map(flow => `${JSON.stringify(flow)}\n`)
    .join("");
}

function follow(log: FlowLog, filter: FlowFilter, response: ServerResponse): void {
  const stop = log.follow(flows => {
    if (response.writableLength < MAX_BACKLOG_BYTES) response.write(lines(flows, filter));
  });
  const heartbeat = setInterval(() => {
    if (response.writableLength < MAX_BACKLOG_BYTES) response.write("\n");
  }, HEARTBEAT_MS).unref();
  response.on("close", () => {
    stop();
    clearInterval(heartbeat);
  });
}
