/** `calctl lab` from up to down as a user types it, and what it says of input that makes no sense. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calctl, eventually, TestLab } from "./test-lab.ts";

describe("calctl lab", () => {
  let lab: TestLab;
  let folder: string;

  const run = (...args: string[]) => lab.calctl(["lab", "--name", lab.name, ...args]);

  const succeeds = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" }, stdout);
    return stdout;
  };

  /** One sentence on standard error, nothing on standard output, exit code 1. */
  const refuses = async (args: readonly string[], sentence: RegExp) => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" }, stderr);
    assert.match(stderr, sentence);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    assert.doesNotMatch(stderr, /\bat .*:\d+:\d+/);
  };

  const file = (name: string, content: unknown) => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };

  before(() => {
    lab = new TestLab();
    folder = mkdtempSync(join(tmpdir(), "calyx-system-"));
  });

  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await lab.end();
  });

  it("says that nothing is up where nothing is", async () => {
    for (const args of [
      ["status"],
      ["network", "create", "n"],
      ["run", "w", "--host", "host1"],
      ["exec", "w", "--", "true"],
      ["remove", "w"],
      ["restart"],
    ])
      await refuses(args, /^no lab "\S+" is up; "calctl lab up --hosts 2" starts one$/m);
    await succeeds("down");
  });

  it("refuses to start what makes no sense", async () => {
    await refuses(["up"], /--hosts/);
    await refuses(["up", "--hosts", "0"], /--hosts.*expected a whole number/);
    await refuses(["up", "--hosts", "two"], /--hosts.*expected a whole number/);
    await refuses(["up", "--hosts", "101"], /expected 1 to 100/);
    await refuses(["up", "--hosts", "2", "--datastore", "paper"], /embedded, etcd/);
    await refuses(["up", "--hosts", "2", "--topology", "star"], /mesh, rr/);
    await refuses(["up", "--hosts", "2", "--pool", "10.0.0.1/99"], /expected a CIDR/);
    const name = await calctl(["lab", "--name", "Not A Name", "up", "--hosts", "1"]);
    assert.equal(name.code, 1);
    assert.match(name.stderr, /^lab name "Not A Name": expected 1 to 12 of a-z, 0-9 and "-"$/m);
    assert.deepEqual(lab.leftBehind(), []);
  });

  it("starts hosts, networks and workloads, and tells where they are", async () => {
    const up = await succeeds("up", "--hosts", "2", "--pool", "10.65.0.0/16");
    assert.match(up, /^host1 {2}192\.168\.56\.104 /m);
    assert.match(up, /export DATASTORE_TYPE=embedded/);
    await refuses(["up", "--hosts", "2"], /^lab "\S+" is up; "calctl lab down" ends it$/m);
    assert.match(await succeeds("network", "create", "front"), /^network front is profile front/);
    await succeeds("network", "create", "back");
    const web = [
      "run",
      "web1",
      "--host",
      "host1",
      "--network",
      "front",
      "--label",
      "app=web",
      "--label",
      "v=1",
    ];
    assert.match(
      await succeeds(...web, "--serve", "tcp:80,udp:81"),
      /^web1 {2}10\.65\.\S+ {2}on host1, cali/,
    );
    await succeeds("run", "client", "--host", "host2", "--network", "front");
    await succeeds("run", "other", "--host", "host2", "--network", "back", "--ip", "10.65.77.7");
    assert.equal(lab.addressOf("other"), "10.65.77.7");
    const { stdout } = await lab.calctl(["get", "workloadendpoints", "-o", "json"]);
    const endpoint = JSON.parse(stdout).items.find(
      ({ spec }: { spec: { workload: string } }) => spec.workload === "web1",
    );
    assert.equal(endpoint.metadata.labels.app, "web");
  });

  it("shows its status as a table and as JSON", async () => {
    const text = await succeeds("status");
    assert.match(text, /^host1 +192\.168\.56\.104 +ready +ready +1\/1$/m);
    assert.match(text, /^web1 +host1 +front +10\.65\./m);
    const json = JSON.parse(await succeeds("status", "-o", "json"));
    assert.deepEqual(
      json.workloads.map(({ name, host, network }: Record<string, string>) => [name, host, network]),
      [
        ["client", "host2", "front"],
        ["other", "host2", "back"],
        ["web1", "host1", "front"],
      ],
    );
    assert.deepEqual(
      json.networks.map(({ name }: { name: string }) => name),
      ["back", "front"],
    );
  });

  it("probes a list of connections in a moment, and fails where one is not as expected", async () => {
    const asExpected = [
      { from: "client", to: "web1", port: 80, expect: "allow" },
      { from: "client", to: "web1", port: 81, protocol: "UDP", expect: "allow" },
      { from: "client", to: lab.addressOf("web1"), protocol: "ICMP", expect: "allow" },
      { from: "client", to: "web1", port: 82, expect: "deny" },
      { from: "other", to: "web1", port: 80, protocol: "TCP", expect: "deny" },
      { from: "other", to: "web1", port: 81, protocol: "UDP", expect: "deny" },
      { from: "other", to: "web1", protocol: "ICMP", expect: "deny" },
      { from: "host1", to: "web1", port: 80, expect: "allow" },
    ];
    const begun = performance.now();
    const results = JSON.parse(await succeeds("probe", file("probes.json", asExpected), "-o", "json"));
    assert.ok(performance.now() - begun < 5000);
    for (const [i, { observed, ms, ...rest }] of results.entries()) {
      assert.deepEqual({ ...rest, expect: observed }, { protocol: "TCP", ...asExpected[i] });
      assert.ok(ms >= 0 && ms < 3000);
    }
    const wrong = await run(
      "probe",
      file("wrong.yml", "- { from: other, to: web1, port: 80, expect: allow }\n"),
    );
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /^other +web1 +TCP +80 +allow +deny/m);
  });

  it("hands on what a command in a workload prints, and its exit code", async () => {
    assert.match(await succeeds("exec", "client", "--", "ip", "-o", "address"), /cali0 +inet 10\.65\./);
    assert.equal((await run("exec", "client", "--", "sh", "-c", "exit 3")).code, 3);
    await refuses(["exec", "client", "--", "no-such-program"], /^no-such-program: .*ENOENT/);
  });

  it("refuses what makes no sense, and changes nothing", async () => {
    const status = await succeeds("status", "-o", "json");
    const addresses = (await lab.calctl(["ipam", "show", "--show-blocks"])).stdout;
    await refuses(["run", "x", "--host", "host3"], /^no host "host3" in this lab; there is: host1, host2$/m);
    await refuses(
      ["run", "x", "--host", "host1", "--network", "n"],
      /no network "n" in this lab; there is: back, front/,
    );
    await refuses(["run", "web1", "--host", "host1"], /^workload "web1" exists$/m);
    await refuses(["run", "x", "--host", "host1", "--ip", "10.65.77.7"], /10\.65\.77\.7/);
    await refuses(["run", "x", "--host", "host1", "--ip", "172.30.0.1"], /172\.30\.0\.1/);
    await refuses(["run", "x", "--host", "host1", "--ip", "10.65.77"], /expected an IP address/);
    await refuses(["run", "x", "--host", "host1", "--serve", "tcp"], /expected a port|PROTOCOL:PORT/);
    await refuses(["run", "x", "--host", "host1", "--serve", "http:80"], /tcp, udp or sctp/);
    await refuses(["run", "x", "--host", "host1", "--label", "color"], /expected key=value/);
    await refuses(["run", "x", "--host", "host1", "--label", "a b=c"], /label/i);
    await refuses(["run", "Not a name", "--host", "host1"], /^workload name "Not a name": expected 1 to 32/);
    await refuses(["run", "../x", "--host", "host1"], /^workload name "\.\.\/x": expected/);
    await refuses(["run", "host1", "--host", "host1"], /a host is called so/);
    await refuses(["run", "x"], /--host/);
    await refuses(["network", "create", "front"], /^network "front" exists$/m);
    await refuses(["network", "create", "a b"], /^network name "a b": expected 1 to 63/);
    await refuses(
      ["network", "create", "n", "--subnet", "10.99.0.0/16"],
      /must match the CIDR of a configured/,
    );
    await refuses(["remove", "nobody"], /^no workload "nobody" in this lab; there is: client, other, web1$/m);
    await refuses(["exec", "nobody", "--", "true"], /^no workload "nobody"/);
    await refuses(["restart", "host9"], /^no host "host9"/);
    await refuses(["probe", join(folder, "missing.json")], /missing\.json.*|ENOENT/);
    await refuses(["probe", file("not.json", "{ from: [")], /not\.json/);
    await refuses(["probe", file("object.json", {})], /object\.json: top level: expected a list/);
    await refuses(
      ["probe", file("port.json", [{ from: "client", to: "web1" }])],
      /\[0\]\.port: expected 1 to 65535/,
    );
    await refuses(["probe", file("who.json", [{ to: "web1", port: 1 }])], /\[0\]\.from: expected the name/);
    await refuses(["probe", file("null.json", [null])], /\[0\]/);
    await refuses(
      ["probe", file("p.json", [{ from: "client", to: "web1", port: 1, protocol: "GRE" }])],
      /\[0\]\.protocol: expected TCP, UDP/,
    );
    await refuses(["probe", file("t.json", [{ from: "client", to: "web9", port: 1 }])], /no workload "web9"/);
    await refuses(
      ["probe", file("e.json", [{ from: "client", to: "web1", port: 1, expect: "ok" }])],
      /allow or deny/,
    );
    assert.equal(await succeeds("status", "-o", "json"), status);
    assert.equal((await lab.calctl(["ipam", "show", "--show-blocks"])).stdout, addresses);
  });

  it("restarts daemons, removes workloads, and gives their addresses back", async () => {
    await succeeds("restart", "host1");
    await lab.expects({ "client -> web1 tcp:80": "allow", "other -> web1 tcp:80": "deny" });
    await succeeds("remove", "other");
    await succeeds("run", "again", "--host", "host1", "--network", "back", "--ip", "10.65.77.7");
    await succeeds("remove", "again");
    assert.doesNotMatch((await lab.calctl(["get", "workloadendpoints"])).stdout, /again|other/);
  });

  it("ends without a trace", async () => {
    await succeeds("down");
    await eventually(() => lab.leftBehind(), []);
    await refuses(["status"], /no lab/);
  });
});
