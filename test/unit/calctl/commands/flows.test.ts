/** `calctl flows` against a flow log, over a real socket. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStatus, serveStatus } from "../../../../daemon/status-server.ts";
import type { Flow } from "../../../../felix/flows/flow.ts";
import type { FlowListener, FlowLog } from "../../../../felix/flows/flow-log.ts";
import { serveQueries } from "../../../../felix/flows/queries.ts";
import { ip } from "../../../../net/ip.ts";
import { flow } from "../../felix/flows/flows.ts";
import { Cluster } from "../harness.ts";

describe("calctl flows", () => {
  const folder = mkdtempSync(join(tmpdir(), "calctl-flows-"));
  const socket = join(folder, "felix.sock");
  let flows: Flow[] = [];
  let isOn = true;
  const followers = new Set<FlowListener>();
  let followed = Promise.withResolvers<void>();
  const log = {
    flows: () => flows,
    follow: listener => {
      followers.add(listener);
      followed.resolve();
      return () => void followers.delete(listener);
    },
  } as Pick<FlowLog, "flows" | "follow"> as FlowLog;
  const counters = [
    { kind: "policy", name: "gnp/x", direction: "egress", rule: 1, packets: 2, bytes: 3 },
  ] as const;
  const source = {
    liveness: () => undefined,
    readiness: () => undefined,
    status: () => ({}),
    serve: ((request, response) =>
      serveQueries(
        { flowLog: isOn ? log : undefined, counters: async () => counters },
        request,
        response,
      )) satisfies Parameters<typeof serveStatus>[0]["serve"],
  };
  let server: { close(): Promise<void> };

  before(async () => {
    server = await serveStatus(source, { path: socket });
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    isOn = true;
    followed = Promise.withResolvers();
    const web = { address: ip("10.0.0.2"), kind: "workload", namespace: "shop", name: "web" } as const;
    flows = [
      flow({ destination: web, last: Date.UTC(2026, 0, 2, 3, 4, 5) }),
      flow({
        source: web,
        destination: { address: ip("192.0.2.1"), kind: "node", name: "host1" },
        protocol: "ICMP",
        icmp: { type: 8, code: 0 },
        direction: "egress",
        verdict: "deny",
        decidedBy: { kind: "tier-default", tier: "security" },
        packets: 12,
        last: Date.UTC(2026, 0, 2, 3, 4, 6),
      }),
    ].map(({ port, ...rest }) => (rest.icmp ? rest : { port, ...rest }) as Flow);
  });

  const calctl = (...argv: string[]) => new Cluster().calctl(["flows", ...argv, "--socket", socket]);
  async function rows(...argv: string[]): Promise<string[]> {
    const { code, stdout, stderr } = await calctl(...argv);
    assert.equal(code, 0, stderr);
    return stdout
      .trimEnd()
      .split("\n")
      .map(line => line.replaceAll(/ +/g, " "));
  }

  it("says who talked to whom, and which rule decided", async () => {
    assert.deepEqual(await rows(), [
      "LAST SEEN VERDICT STAGED SOURCE DESTINATION PROTOCOL PORT DIRECTION DECIDED BY PACKETS",
      "03:04:05 allow 10.0.0.1 shop/web TCP 80 ingress np/default/web rule 0 1",
      "03:04:06 deny shop/web node host1 ICMP 8/0 egress tier security 12",
    ]);
    const [heading, first] = await rows("-o", "wide");
    assert.match(heading!, /BYTES SOURCE ADDRESS DESTINATION ADDRESS FIRST SEEN$/);
    assert.match(first!, / 60 10\.0\.0\.1 10\.0\.0\.2 /);
  });

  it("marks what staged policies would decide otherwise", async () => {
    const by = { kind: "policy", name: "snp/shop/strict", rule: 1 } as const;
    flows = [
      { ...flows[0]!, staged: { verdict: "deny", decidedBy: by } },
      { ...flows[1]!, staged: { verdict: "deny", decidedBy: by } },
    ];
    const [, other, same] = await rows();
    assert.match(other!, /^03:04:05 allow deny 10\.0\.0\.1 /);
    assert.match(same!, /^03:04:06 deny shop\/web /);
    const [heading, ...wide] = await rows("-o", "wide");
    assert.match(heading!, / STAGED DECIDED BY /);
    for (const row of wide) assert.match(row, / snp\/shop\/strict rule 1 /);
    assert.equal((await rows("--policy", "strict")).length, 3);
    const { stdout } = await calctl("-o", "json");
    assert.deepEqual(JSON.parse(stdout.split("\n")[0]!).staged, flows[0]!.staged);
  });

  it("shows what is asked for", async () => {
    assert.equal((await rows("--verdict", "deny")).length, 2);
    assert.equal((await rows("--policy", "web")).length, 2);
    assert.equal((await rows("--namespace", "shop")).length, 3);
    assert.equal((await rows("--namespace", "other")).length, 1);
    const { stdout } = await calctl("-o", "json", "--verdict", "deny");
    assert.deepEqual(JSON.parse(stdout), flows[1]);
  });

  it("follows: first what was seen, then what comes", async () => {
    const answer = await openStatus(socket, "/felix/flows?follow=true&verdict=deny");
    const lines: string[] = [];
    const done = (async () => {
      for await (const chunk of answer.setEncoding("utf8")) {
        lines.push(
          ...String(chunk)
            .split("\n")
            .filter(line => line !== ""),
        );
        if (lines.length === 2) return;
      }
    })();
    await followed.promise;
    for (const tell of followers) tell([flow(), flow({ verdict: "deny", packets: 77 })]);
    await done;
    assert.equal(JSON.parse(lines[1]!).packets, 77);
    answer.destroy();
  });

  it("says how to switch the log on", async () => {
    isOn = false;
    const { code, stderr } = await calctl();
    assert.equal(code, 1);
    assert.match(stderr, /flows are not logged on this host: set flowLogsLocalReporter to Enabled/);
  });

  it("says so where no felix answers, and what it does not understand", async () => {
    const { code, stderr } = await new Cluster().calctl(["flows", "--socket", "/nowhere/felix.sock"]);
    assert.equal(code, 1);
    assert.match(stderr, /no felix answers at \/nowhere\/felix.sock/);
    assert.equal((await calctl("--verdict", "maybe")).code, 1);
  });

  it("counters are there too, and neither of them on a port", async () => {
    const answer = await openStatus(socket, "/felix/counters");
    let body = "";
    for await (const chunk of answer.setEncoding("utf8")) body += chunk;
    assert.deepEqual(JSON.parse(body), counters);
    const { createServer } = await import("node:net");
    const probe = createServer();
    const port = await new Promise<number>(resolve => {
      probe.listen(0, "127.0.0.1", () => resolve((probe.address() as { port: number }).port));
    });
    await new Promise(resolve => probe.close(resolve));
    const open = await serveStatus(source, { host: "127.0.0.1", port });
    for (const path of ["flows", "counters"]) {
      const { status } = await fetch(`http://127.0.0.1:${port}/felix/${path}`);
      assert.equal(status, 404);
    }
    await open.close();
  });
});
