import assert from "node:assert/strict";
import { type LogBatch, type LoggedFlow, Nflog } from "../../../linux/nflog/nflog.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

/** A listener whose packets can be waited for. */
class Recorder {
  readonly flows: LoggedFlow[] = [];
  lost = 0;
  readonly nflog: Nflog;
  #wake = () => {};

  constructor(namespace: string) {
    this.nflog = Nflog.open({
      namespace,
      groups: [1, 2],
      onBatch: (batch: LogBatch) => {
        this.flows.push(...batch.flows);
        this.lost += batch.lost;
        this.#wake();
      },
      onFailure: error => {
        throw error;
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.nflog.close();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }

  packets(prefix: string): number {
    return this.flows.reduce((sum, flow) => sum + (flow.prefix === prefix ? flow.packets : 0), 0);
  }
}

describe("linux/nflog", function () {
  this.timeout(20_000);
  const scratch = new ScratchNamespaces();

  /** Whatever goes out is logged to group 2, whatever comes in to group 1. */
  function logging(): string {
    const namespace = scratch.create();
    run(namespace, "ip", "link", "set", "lo", "up");
    for (const [program, prefix] of [
      ["iptables-nft", "four"],
      ["ip6tables-nft", "six"],
    ] as const) {
      const rule = (group: number, text: string) =>
        `-j NFLOG --nflog-group ${group} --nflog-size 80 --nflog-prefix ${text}`.split(" ");
      run(namespace, program, "-A", "OUTPUT", ...rule(2, `${prefix}-out`));
      run(namespace, program, "-A", "INPUT", ...rule(1, `${prefix}-in`));
    }
    return namespace;
  }

  it("tells who sent what to whom, of both IP versions", async () => {
    const namespace = logging();
    await using recorder = new Recorder(namespace);
    run(namespace, "ping", "-c", "2", "-i", "0.01", "127.0.0.1");
    run(namespace, "ping", "-c", "1", "::1");
    await recorder.until(() => recorder.packets("four-in") === 4 && recorder.packets("six-in") === 2);
    const request = recorder.flows.find(({ prefix, icmp }) => prefix === "four-out" && icmp?.type === 8);
    const { first, last, outInterface, ...said } = request ?? assert.fail("no echo request");
    assert.ok(first <= last && Math.abs(Date.now() - last) < 60_000);
    assert.equal(outInterface, 1);
    assert.deepEqual(said, {
      group: 2,
      prefix: "four-out",
      source: "127.0.0.1",
      destination: "127.0.0.1",
      protocol: 1,
      icmp: { type: 8, code: 0 },
      packets: 2,
      bytes: 168,
    });
    const six = recorder.flows.find(({ prefix, icmp }) => prefix === "six-in" && icmp?.type === 128);
    assert.deepEqual([six?.source, six?.group, six?.inInterface], ["::1", 1, 1]);
  });

  it("counts every packet of a flood, told or lost, while the main thread is busy", async () => {
    const namespace = logging();
    await using recorder = new Recorder(namespace);
    run(namespace, "ping", "-q", "-f", "-c", "5000", "127.0.0.1"); // Synchronous: nothing is taken meanwhile.
    // What was lost at the very end shows when something follows.
    run(namespace, "ping", "-q", "-c", "1", "127.0.0.1");
    const seen = () => recorder.packets("four-in") + recorder.packets("four-out") + recorder.lost;
    await recorder.until(() => seen() >= 20_004);
    assert.equal(seen(), 20_004);
  });

  it("has a group to itself", async () => {
    const namespace = logging();
    await using _ = new Recorder(namespace);
    assert.throws(() => new Recorder(namespace), { code: "EPERM" });
  });
});
