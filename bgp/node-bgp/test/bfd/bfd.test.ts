/** The main thread's side of BFD, with a thread that has no sockets. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { Bfd } from "../../bfd/bfd.ts";
import type { BfdEvent } from "../../bfd/bfd-service.ts";
import { BgpError } from "../../errors.ts";

const workerFile = join(import.meta.dirname, "../kit/idle-bfd-worker.ts");
const A = "192.0.2.1";

describe("Bfd", () => {
  let bfd: Bfd;
  beforeEach(() => {
    bfd = new Bfd({ workerFile });
  });
  afterEach(() => bfd.close());

  const firstEvent = (address: string) =>
    new Promise<BfdEvent>(resolve => bfd.addSession({ address }, resolve));
  const hasCode = (code: string) => (error: unknown) => error instanceof BgpError && error.code === code;

  it("reports what its thread says of a session", async () => {
    assert.deepEqual(await firstEvent(A), {
      address: A,
      state: "Up",
      previous: "Down",
      cause: "handshake",
      diagnostic: "No Diagnostic",
      remoteDiagnostic: "No Diagnostic",
      at: 1,
    });
  });

  it("has one session on a path, until that is removed", async () => {
    const session = bfd.addSession({ address: A }, () => {});
    assert.throws(() => bfd.addSession({ address: A }, () => {}), hasCode("BfdSessionExists"));
    bfd.addSession({ address: A, multihop: true }, () => {});
    session.remove();
    session.remove();
    await firstEvent(A);
    assert.deepEqual(
      bfd.sessions().map(({ multihop }) => multihop),
      [true, false],
    );
  });

  it("reports nothing of a session that was removed", async () => {
    const session = bfd.addSession({ address: A }, () => assert.fail("removed before it could come up"));
    session.remove();
    await firstEvent("192.0.2.2");
  });

  it("shows a session at once, and JSON can carry it", () => {
    const session = bfd.addSession({ address: A, adminDown: true }, () => {});
    assert.equal(session.status().state, "AdminDown");
    assert.deepEqual(JSON.parse(JSON.stringify(bfd.sessions())).length, 1);
    assert.equal(bfd.status().thread, "starting");
  });

  it("ends with close, for good", async () => {
    await firstEvent(A);
    await bfd.close();
    assert.equal(bfd.status().thread, "closed");
    assert.throws(() => bfd.addSession({ address: A }, () => {}), hasCode("BfdClosed"));
    await bfd.close();
  });

  it("that has never had a session closes at once", async () => {
    await bfd.close();
  });

  it("replaces a thread that dies, tells it of every session, and waits before the next time", async () => {
    const failures: string[] = [];
    const failed = new Promise<void>(resolve => {
      bfd.onFailure(error => {
        failures.push(error.message);
        if (failures.length === 2) resolve();
      });
    });
    bfd.addSession({ address: "192.0.2.66" }, () => {});
    await failed;
    assert.deepEqual(failures, ["I do not like this one", "I do not like this one"]);
    const { thread, failures: count, trouble } = bfd.status();
    assert.deepEqual([thread, count], ["failed", 2]);
    assert.equal(trouble, "the BFD thread has died: I do not like this one");
    assert.equal(bfd.sessions()[0]!.trouble, trouble);
  });
});
