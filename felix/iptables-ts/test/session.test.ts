import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { detectBackend } from "../backend.ts";
import { createRunner } from "../run.ts";
import { RestoreSession } from "../session.ts";

/** Stands in for iptables-restore --verbose: repeats comments, refuses the line "bad", counting all lines. */
const PROGRAM = `n=0; while read -r line; do n=$((n+1)); case "$line" in
  '#'*) printf '%s\\n' "$line";; bad) echo "restore: line $n failed" >&2; exit 2;; esac; done`;
const SILENT = "while read -r line; do :; done; exit 0";

describe("a restore program that stays", () => {
  let started: ChildProcessWithoutNullStreams[] = [];
  let session: RestoreSession;
  const open = (script: string, options: { timeoutMs?: number; idleMs?: number } = {}) => {
    session = new RestoreSession({
      start: () => {
        const child = spawn("sh", ["-c", script]);
        started.push(child);
        return child;
      },
      ...options,
    });
    return session;
  };
  const ended = async (child: ChildProcessWithoutNullStreams) => {
    if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  };

  beforeEach(() => {
    started = [];
  });
  afterEach(async () => {
    session.close();
    for (const child of started) child.kill();
  });

  it("takes many commits", async () => {
    open(PROGRAM);
    for (let i = 0; i < 20; i++) assert.equal((await session.commit("*filter\nCOMMIT\n"))?.code, 0);
    assert.equal(started.length, 1);
  });

  it("tells which line of this commit was refused, and starts another program", async () => {
    open(PROGRAM);
    await session.commit("*filter\nCOMMIT\n");
    const refused = await session.commit("*filter\nfine\nbad\nCOMMIT\n");
    assert.equal(refused?.code, 2);
    const line = Number(/line (\d+)/.exec(refused!.stderr)![1]);
    assert.equal(line - refused!.lineOffset, 3);
    assert.equal((await session.commit("*filter\nCOMMIT\n"))?.code, 0);
    assert.equal(started.length, 2);
  });

  it("is replaced when somebody kills it between two commits", async () => {
    open(PROGRAM);
    await session.commit("");
    started[0]!.kill("SIGKILL");
    await ended(started[0]!);
    assert.equal((await session.commit(""))?.code, 0);
    assert.equal(started.length, 2);
  });

  it("reports a death in the middle of a commit as a failure", async () => {
    open(`${PROGRAM.replace("bad)", () => "die) kill -9 $$;; bad)")}`);
    assert.equal((await session.commit("die\n"))?.code, null);
  });

  it("ends when it has nothing to do", async () => {
    open(PROGRAM, { idleMs: 1 });
    await session.commit("");
    await ended(started[0]!);
  });

  it("gives up on one that does not answer", async () => {
    open(`read -r greeting; printf '%s\\n' "$greeting"; ${SILENT}`, { timeoutMs: 20 });
    await assert.rejects(session.commit("*filter\nCOMMIT\n"), /no answer/);
    assert.equal(started.length, 1);
  });

  it("says so when the program cannot be used like this, having sent nothing", async () => {
    open("exit 0");
    assert.equal(await session.commit("*filter\nCOMMIT\n"), undefined);
  });

  it("cannot be started when it is missing", async () => {
    session = new RestoreSession({ start: () => spawn("/nonexistent/iptables-restore") });
    await assert.rejects(session.commit(""), /ENOENT/);
  });

  it("does not keep the process alive", () => {
    const script = `
      import { spawn } from "node:child_process";
      import { RestoreSession } from ${JSON.stringify(import.meta.resolve("../session.ts"))};
      const session = new RestoreSession({ start: () => spawn("sh", ["-c", ${JSON.stringify(PROGRAM)}]) });
      process.stdout.write(String((await session.commit(""))?.code));`;
    const options = { encoding: "utf8", timeout: 4000 } as const;
    assert.equal(
      execFileSync(process.execPath, ["--input-type=module-typescript", "-e", script], options),
      "0",
    );
  });

  it("is left out when the program does not repeat comments: then each commit is a process", async () => {
    const runs: string[] = [];
    const { start: _, ...rest } = createRunner();
    const run = Object.assign(
      async (command: string) => {
        runs.push(command);
        return { code: 0, stdout: "iptables v1.8.9 (nf_tables)", stderr: "" };
      },
      { ...rest, start: () => spawn("sh", ["-c", "exit 0"]) },
    );
    const backend = await detectBackend({ ipVersion: 4, variant: "nft", run });
    session = open("exit 0");
    await backend.restore("*filter\nCOMMIT\n");
    await backend.restore("*filter\nCOMMIT\n");
    assert.deepEqual(runs.slice(-2), ["iptables-nft-restore", "iptables-nft-restore"]);
  });
});
