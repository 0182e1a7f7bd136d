import assert from "node:assert/strict";
import { pino } from "pino";
import { NO_CHANGES } from "../../../../felix/calc/changes.ts";
import type { StagedDecision } from "../../../../felix/calc/staged-judge.ts";
import { flowPrefix } from "../../../../felix/dataplane/flow-prefix.ts";
import type { Flow } from "../../../../felix/flows/flow.ts";
import { FlowLog } from "../../../../felix/flows/flow-log.ts";
import type { LoggedFlow, NflogOptions } from "../../../../linux/nflog/nflog.ts";
import { type Ip, ip } from "../../../../net/ip.ts";
import type { Direction, Policy } from "../../../../policy/model.ts";
import { SimClock } from "../dataplane/sim-clock.ts";
import { flow, logged } from "./flows.ts";

class Running {
  readonly clock = new SimClock();
  readonly counted: Flow[] = [];
  readonly gone: string[] = [];
  lost = 0;
  /** Of each time it was opened. */
  readonly opened: NflogOptions[] = [];
  closed = 0;
  refuse = false;
  judgeStaged: (direction: Direction, destination: Ip) => readonly StagedDecision[] = () => [];
  readonly #stop = new AbortController();
  readonly log = new FlowLog({
    windowMs: 60_000,
    end: address =>
      address === "10.0.0.1"
        ? { address, kind: "workload", namespace: "default", name: "client" }
        : { address },
    judgeStaged: (direction, { destination }) => this.judgeStaged(direction, destination),
    metrics: {
      flow: each => this.counted.push(each),
      flowPacketsLost: packets => {
        this.lost += packets;
      },
      policyGone: name => this.gone.push(name),
    },
    clock: this.clock,
    logger: pino({ level: "silent" }),
    open: options => {
      this.opened.push(options);
      if (this.refuse) throw new Error("taken");
      return {
        close: async () => {
          this.closed++;
        },
      };
    },
  });
  readonly ended = this.log.run(this.#stop.signal);

  get nflog(): NflogOptions {
    return this.opened.at(-1)!;
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}

describe("felix/flows/flow-log", () => {
  let running: Running;
  beforeEach(() => {
    running = new Running();
  });
  afterEach(() => running.end());

  it("makes flows of logged packets: who, to whom, and what decided", () => {
    running.nflog.onBatch({
      flows: [logged("APE0|np/default/web"), logged("DRI", { protocol: 132 })],
      lost: 0,
    });
    const client = {
      address: "10.0.0.1",
      kind: "workload",
      namespace: "default",
      name: "client",
    } as Flow["source"];
    const expected = [
      flow({ source: client, direction: "egress" }),
      flow({ source: client, protocol: "SCTP", verdict: "deny", decidedBy: { kind: "no-profile" } }),
    ];
    assert.deepEqual(running.log.flows(), expected);
    assert.deepEqual(running.counted, expected);
  });

  it("leaves out what only passed on, and what others log to the same groups", () => {
    running.nflog.onBatch({ flows: [logged("PPI0|np/default/web"), logged("dropped: ")], lost: 3 });
    assert.deepEqual(running.log.flows(), []);
    assert.equal(running.lost, 3);
  });

  it("knows the policies whose names did not fit into the prefix", () => {
    const name = `np/${"n".repeat(63)}/web`;
    const prefix = flowPrefix({
      action: "deny",
      direction: "ingress",
      reason: { kind: "policy", name, rule: 2 },
    });
    running.log.noteChanges({ ...NO_CHANGES, policies: new Map([[name, {} as Policy]]) });
    running.nflog.onBatch({ flows: [logged(prefix)], lost: 0 });
    assert.deepEqual(running.log.flows()[0]?.decidedBy, { kind: "policy", name, rule: 2 });
  });

  it("says what staged policies would make of it, where they have a part in it", () => {
    const reason = { kind: "policy", tier: "default", policy: "np/default/web", rule: 0 } as const;
    const denies = { verdict: "deny", reason: { ...reason, policy: "snp/default/web" } } as const;
    running.judgeStaged = (direction, destination) =>
      direction === "ingress" && destination === "10.0.0.2"
        ? [{ inForce: { verdict: "allow", reason }, staged: denies }]
        : [];
    const shown = (prefix: string, changes: Partial<LoggedFlow> = {}) => {
      running.nflog.onBatch({ flows: [logged(prefix, changes)], lost: 0 });
      return running.counted.at(-1)?.staged;
    };
    assert.deepEqual(shown("API0|np/default/web"), {
      verdict: "deny",
      decidedBy: { kind: "policy", name: "snp/default/web", rule: 0 },
    });
    assert.equal(shown("APE0|np/default/web"), undefined);
    assert.equal(shown("API0|np/default/web", { destination: ip("10.0.0.3") }), undefined);
    // Another place in the packet's way, or policies that are not those of now.
    assert.equal(shown("API1|np/default/web"), undefined);
    assert.equal(shown("API0|gnp/host"), undefined);
    assert.equal(shown("DPI|default"), undefined);
  });

  it("says nothing of it where two that decided alike would not do so any more", () => {
    const inForce = {
      verdict: "allow",
      reason: { kind: "policy", tier: "default", policy: "gnp/all", rule: 0 },
    } as const;
    const staged = { verdict: "allow", reason: { kind: "forward-default" } } as const;
    const shown = (...others: StagedDecision[]) => {
      running.judgeStaged = () => [{ inForce, staged }, ...others];
      running.nflog.onBatch({ flows: [logged("API0|gnp/all")], lost: 0 });
      return running.counted.at(-1)?.staged;
    };
    const alike = { verdict: "allow", decidedBy: { kind: "forward-default" } };
    assert.deepEqual(shown({ inForce, staged }), alike);
    assert.equal(shown({ inForce, staged: undefined }), undefined);
    assert.equal(shown({ inForce, staged: { ...staged, verdict: "deny" } }), undefined);
    // What has decided something else has not logged this.
    assert.deepEqual(shown({ inForce: { ...inForce, verdict: "deny" }, staged: undefined }), alike);
  });

  it("tells followers what was seen since, until they go", () => {
    const told: (readonly Flow[])[] = [];
    const stop = running.log.follow(flows => told.push(flows));
    running.nflog.onBatch({ flows: [logged("APE0|np/default/web", { packets: 5 })], lost: 0 });
    running.nflog.onBatch({ flows: [logged("APE0|np/default/web", { packets: 2 })], lost: 0 });
    running.nflog.onBatch({ flows: [], lost: 0 });
    assert.deepEqual(
      told.map(flows => flows.map(({ packets }) => packets)),
      [[5], [2]],
    );
    assert.equal(running.log.flows()[0]?.packets, 7);
    stop();
    running.nflog.onBatch({ flows: [logged("APE0|np/default/web")], lost: 0 });
    assert.equal(told.length, 2);
  });

  it("shows no counts of policies that are gone", () => {
    running.log.noteChanges({ ...NO_CHANGES, policies: new Map([["gnp/old", undefined]]) });
    assert.deepEqual(running.gone, ["gnp/old"]);
  });

  it("begins again when the reading ends", async () => {
    running.nflog.onFailure(new Error("the worker died"));
    await running.clock.advance(2_000);
    assert.equal(running.opened.length, 2);
    assert.equal(running.closed, 1);
    running.refuse = true;
    running.nflog.onFailure(new Error("the worker died"));
    await running.clock.advance(120_000);
    assert.ok(running.opened.length > 4, "it keeps trying");
    running.refuse = false;
    await running.clock.advance(60_000);
    running.nflog.onBatch({ flows: [logged("APE0|np/default/web", { last: running.clock.now() })], lost: 0 });
    assert.equal(running.log.flows().length, 1);
  });
});
