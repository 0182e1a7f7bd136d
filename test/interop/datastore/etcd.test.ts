/** The etcd store against a real etcd: the compliance suite, and what only etcd can do to us. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Etcd3 } from "etcd3";
import type { Datastore } from "../../../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../../../datastore/errors.ts";
import { openEtcd } from "../../../datastore/etcd/open.ts";
import type { EtcdOptions } from "../../../datastore/etcd/options.ts";
import { EtcdStore } from "../../../datastore/etcd/store.ts";
import { key, type Query } from "../../../datastore/key.ts";
import { Reflector, type Update } from "../../../datastore/reflector.ts";
import { describeDatastore, Watched } from "../../unit/datastore/compliance.ts";
import { wholeRange } from "../../unit/datastore/whole-range.ts";
import { EtcdServer, freePort, type ServerTls } from "./etcd-server.ts";

const SETS: Query = { kind: "GlobalNetworkSet" };
const set = (name: string) => key("GlobalNetworkSet", name);
const QUICK = { timeoutMs: 1000, keepaliveMs: 1500 };

const refuses = (code: DatastoreErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(isDatastoreError(error, code), `${code} expected, not ${error}`);
  assert.match(error.message, message);
  return true;
};

describe("with a real etcd", function () {
  this.timeout(30_000);
  let server: EtcdServer;
  const opened: Datastore[] = [];

  const connect = async (options: Partial<EtcdOptions> = {}): Promise<Datastore> => {
    const datastore = await openEtcd({ endpoints: [server.endpoint], ...QUICK, ...options });
    opened.push(datastore);
    return datastore;
  };

  before(async function () {
    if (!EtcdServer.installed()) {
      process.stderr.write("      skipped: there is no etcd on this machine (apt install etcd-server)\n");
      this.skip();
    }
    server = await EtcdServer.start();
  });

  afterEach(async () => {
    await Promise.all(opened.splice(0).map(datastore => datastore.close()));
  });

  after(() => server?.dispose());

  describeDatastore("etcd", async () => {
    const options = { endpoints: [server.endpoint] };
    const raw = new Etcd3({ hosts: [server.endpoint] });
    await raw.delete().all();
    const datastore = await openEtcd(options);
    return {
      datastore,
      connect: () => openEtcd(options),
      putRaw: async (path, value) => {
        await raw.put(path).value(value);
      },
      hasRaw: async path => (await raw.get(path)) !== null,
      compact: async () => {
        const { header } = await raw.kv.range({ key: Buffer.from("/") });
        await raw.kv.compact({ revision: header.revision, physical: true });
      },
      dispose: async () => {
        await datastore.close();
        raw.close();
      },
    };
  });

  it("lists more than a page, in order, as one picture", async () => {
    const store = await EtcdStore.open({ endpoints: [server.endpoint] });
    const paths = Array.from({ length: 4500 }, (_, i) => `/calico/many/${String(i).padStart(5, "0")}`);
    for (let i = 0; i < paths.length; i += 100) {
      await Promise.all(paths.slice(i, i + 100).map(path => store.create(path, "x".repeat(1500))));
    }
    const { items } = await wholeRange(store, { start: "/calico/many/", end: "/calico/many0" });
    assert.deepEqual(
      items.map(item => item.path),
      paths,
    );
    await store.close();
  });

  it("says in one sentence that nobody listens", async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const datastore = await connect({ endpoints: [endpoint] });
    const started = Date.now();
    const sentence = new RegExp(`etcd at ${endpoint} cannot be reached: connection refused$`);
    await assert.rejects(datastore.get(set("a")), refuses("UNAVAILABLE", sentence));
    await assert.rejects(datastore.create(set("a"), {}), refuses("UNAVAILABLE", sentence));
    await assert.rejects(datastore.list(SETS), refuses("UNAVAILABLE", sentence));
    assert.ok(Date.now() - started < 500, "a refused connection need not be waited for");
  });

  it("says that nobody answers, after the time it was given", async () => {
    const silent: Server = createServer().listen(0, "127.0.0.1");
    // Whatever the client leaves behind must not keep the test running.
    silent.on("connection", socket => socket.unref());
    await new Promise(resolve => silent.once("listening", resolve));
    const { port } = silent.address() as { port: number };
    const datastore = await connect({ endpoints: [`http://127.0.0.1:${port}`], timeoutMs: 300 });
    await assert.rejects(datastore.get(set("a")), refuses("UNAVAILABLE", /no answer within 0.3 s/));
    silent.close();
  });

  it("says that a name means nothing", async () => {
    const datastore = await connect({ endpoints: ["http://nowhere.invalid:2379"] });
    await assert.rejects(datastore.get(set("a")), refuses("UNAVAILABLE", /name cannot be resolved/));
  });

  it("asks the next member when one does not answer", async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const datastore = await connect({ endpoints: [nobody, server.endpoint, nobody] });
    for (let i = 0; i < 4; i++) await datastore.create(set(`failover-${i}`), {});
    assert.equal((await datastore.list({ ...SETS, namePrefix: "failover-" })).entries.length, 4);
  });

  it("lets a request be aborted", async () => {
    const datastore = await connect();
    const aborted = AbortSignal.abort(new Error("enough"));
    await assert.rejects(datastore.get(set("a"), { signal: aborted }), /enough/);
  });

  it("does not disturb one watch by ending another", async () => {
    const datastore = await connect();
    const { revision } = await datastore.list(SETS);
    const lasting = new Watched(datastore, SETS, revision);
    for (let i = 0; i < 5; i++) {
      const passing = new Watched(datastore, SETS, revision);
      await datastore.create(set(`passing-${i}`), {});
      await passing.count(i + 1);
      await passing.stop();
    }
    assert.equal((await lasting.count(5)).length, 5);
    await lasting.stop();
    assert.equal(lasting.failure, undefined);
  });

  describe("a reflector", () => {
    const log: string[] = [];
    let abort: AbortController;
    let running: Promise<void>;
    let changed = () => {};

    const follow = async (datastore: Datastore) => {
      log.length = 0;
      abort = new AbortController();
      const reflector = new Reflector({
        datastore,
        queries: [SETS],
        backoff: { firstMs: 20, maxMs: 100 },
        onUpdates: (updates: Update[]) => {
          for (const update of updates) log.push(`${update.type} ${update.key.name}`);
          changed();
        },
        onStatus: status => {
          log.push(status);
          changed();
        },
      });
      running = reflector.run(abort.signal);
      await until(() => log.includes("in-sync"));
      log.length = 0;
    };
    const until = async (condition: () => boolean) => {
      while (!condition()) {
        await new Promise<void>(resolve => {
          changed = resolve;
        });
      }
    };

    beforeEach(async () => {
      const raw = new Etcd3({ hosts: [server.endpoint] });
      await raw.delete().all();
      raw.close();
    });

    afterEach(async () => {
      abort.abort();
      await running;
      server.resume();
    });

    it("goes on exactly where it was when etcd is killed and comes back", async () => {
      const datastore = await connect();
      await follow(datastore);
      for (let round = 0; round < 3; round++) {
        await datastore.create(set(`before-${round}`), {});
        await until(() => log.includes(`put before-${round}`));
        await server.kill();
        await assert.rejects(datastore.get(set("a")), /cannot be reached/);
        await server.start();
        await retrying(() => datastore.create(set(`after-${round}`), {}));
        await until(() => log.includes(`put after-${round}`));
      }
      assert.deepEqual(
        log,
        [0, 1, 2].flatMap(round => [`put before-${round}`, `put after-${round}`]),
      );
    });

    it("notices a silent partition, and loses nothing when it heals", async () => {
      const datastore = await connect();
      await follow(datastore);
      server.pause();
      await assert.rejects(datastore.get(set("a")), refuses("UNAVAILABLE", /no answer|lost/));
      await new Promise(resolve => setTimeout(resolve, 2500));
      server.resume();
      await retrying(() => datastore.create(set("healed"), {}));
      await until(() => log.includes("put healed"));
      assert.deepEqual(log, ["put healed"]);
    });

    it("lists again after a compaction while it was away", async () => {
      const datastore = await connect();
      for (const name of ["kept", "gone"]) await datastore.create(set(name), {});
      await follow(datastore);
      await server.kill();
      await server.start();
      const raw = new Etcd3({ hosts: [server.endpoint] });
      await retrying(
        async () => await raw.delete().key("/calico/resources/v3/projectcalico.org/globalnetworksets/gone"),
      );
      const { header } = await raw.kv.range({ key: Buffer.from("/") });
      await raw.kv.compact({ revision: header.revision, physical: true });
      raw.close();
      await retrying(() => datastore.create(set("new"), {}));
      await until(() => log.includes("put new"));
      assert.deepEqual(log, ["delete gone", "put new"]);
    });

    it("sees that another, younger etcd took the place of the old one", async () => {
      const datastore = await connect();
      for (const name of ["a", "b", "c"]) await datastore.create(set(name), {});
      await follow(datastore);
      await server.kill();
      server.forget();
      await server.start();
      await retrying(() => datastore.create(set("b"), {}));
      await until(() => ["delete a", "delete c", "put b"].every(line => log.includes(line)));
    });
  });
});

describe("with an etcd that asks who you are", function () {
  this.timeout(30_000);
  let folder: string;
  let server: EtcdServer;
  let certificates: ServerTls;
  let client: { ca: Buffer; cert: Buffer; key: Buffer };
  const opened: Datastore[] = [];

  const connect = async (options: Partial<EtcdOptions> = {}): Promise<Datastore> => {
    const datastore = await openEtcd({ endpoints: [server.endpoint], timeoutMs: 2000, ...options });
    opened.push(datastore);
    return datastore;
  };

  before(async function () {
    if (!EtcdServer.installed()) this.skip();
    folder = mkdtempSync(join(tmpdir(), "calyx-tls-"));
    certificates = makeCertificates(folder);
    client = {
      ca: readFileSync(certificates.ca),
      cert: readFileSync(join(folder, "client.crt")),
      key: readFileSync(join(folder, "client.key")),
    };
    server = await EtcdServer.start(certificates);
    const { ca, cert, key: clientKey } = client;
    const admin = new Etcd3({
      hosts: [server.endpoint],
      credentials: { rootCertificate: ca, certChain: cert, privateKey: clientKey },
    });
    for (const [name, password] of Object.entries({ root: "secret", calyx: "pass word" })) {
      await admin.auth.userAdd({ name, password });
      await admin.auth.roleAdd({ name });
      await admin.auth.userGrantRole({ user: name, role: name });
    }
    await admin.role("calyx").grant({ permission: "Readwrite", range: admin.range({ prefix: "/calico/" }) });
    await admin.auth.authEnable();
    admin.close();
  });

  afterEach(async () => {
    await Promise.all(opened.splice(0).map(datastore => datastore.close()));
  });

  after(async () => {
    await server?.dispose();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  const user = { username: "calyx", password: "pass word" };

  it("serves the right user with the right certificate, watches included", async () => {
    const datastore = await connect({ tls: client, ...user });
    const { revision } = await datastore.list(SETS);
    const watched = new Watched(datastore, SETS, revision);
    await datastore.create(set("a"), {});
    await watched.count(1);
    await watched.stop();
    await datastore.delete(set("a"));
  });

  it("refuses a wrong password, and none", async () => {
    const wrong = await connect({ tls: client, username: "calyx", password: "wrong" });
    await assert.rejects(wrong.get(set("a")), refuses("UNAUTHORIZED", /wrong user name or password/));
    await assert.rejects(wrong.create(set("a"), {}), refuses("UNAUTHORIZED", /wrong user name or password/));
    const watched = new Watched(wrong, SETS, "1" as never);
    await watched.done;
    assert.ok(isDatastoreError(watched.failure, DatastoreErrorCode.Unauthorized), String(watched.failure));
  });

  it("refuses a certificate of another authority, on either side", async () => {
    const other = join(folder, "other");
    execFileSync("mkdir", [other]);
    const foreign = makeCertificates(other);
    const distrusting = await connect({ tls: { ...client, ca: readFileSync(foreign.ca) }, ...user });
    await assert.rejects(distrusting.get(set("a")), refuses("UNAUTHORIZED", /not signed by the configured/));
    const unknown = await connect({
      tls: {
        ca: client.ca,
        cert: readFileSync(join(other, "client.crt")),
        key: readFileSync(join(other, "client.key")),
      },
      ...user,
    });
    await assert.rejects(unknown.get(set("a")), refuses("UNAUTHORIZED", /client certificate/));
    const without = await connect({ tls: { ca: client.ca }, ...user });
    await assert.rejects(without.get(set("a")), refuses("UNAUTHORIZED", /client certificate/));
  });

  it("goes on after a restart, when all tokens have become worthless", async () => {
    const datastore = await connect({ tls: client, ...user });
    const { revision } = await datastore.list(SETS);
    await server.kill();
    await server.start();
    await retrying(() => datastore.create(set("again"), {}));
    const watched = new Watched(datastore, SETS, revision);
    await watched.count(1);
    await watched.stop();
  });
});

/** A create that was thought lost may have happened: then it is done. */
async function retrying(operation: () => PromiseLike<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await operation();
      return;
    } catch (error) {
      if (isDatastoreError(error, DatastoreErrorCode.AlreadyExists)) return;
      if (attempt === 100) throw error;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}

function makeCertificates(folder: string): ServerTls {
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const ca = [...key, "-keyout", file("ca.key"), "-out", file("ca.crt"), "-subj", "/CN=test authority"];
  openssl("req", "-x509", ...ca, "-days", "2");
  writeFileSync(
    file("extensions"),
    "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n",
  );
  for (const name of ["server", "client"]) {
    openssl(
      "req",
      ...key,
      "-keyout",
      file(`${name}.key`),
      "-out",
      file(`${name}.csr`),
      "-subj",
      `/O=${name}`,
    );
    const sign = ["-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "2"];
    const out = ["-out", file(`${name}.crt`), "-extfile", file("extensions")];
    openssl("x509", "-req", "-in", file(`${name}.csr`), ...sign, ...out);
  }
  return { ca: file("ca.crt"), cert: file("server.crt"), key: file("server.key") };
}
