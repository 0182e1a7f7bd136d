import assert from "node:assert/strict";
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { packLibrary } from "../../setup/pack-library.ts";

/** What a stranger does: install the tarball into an empty project, and use it. */
describe("the libraries as npm packages", function () {
  this.timeout(60_000);
  const project = mkdtempSync(join(tmpdir(), "calyx-packages-"));
  after(() => rmSync(project, { recursive: true, force: true }));

  function use(library: string, program: string): string {
    const options: ExecFileSyncOptionsWithStringEncoding = {
      cwd: project,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    };
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", packLibrary(library)], options);
    return execFileSync(process.execPath, ["--input-type=module", "--eval", program], options).trim();
  }

  it("node-bgp speaks from its package", () => {
    const program = `
      import { acceptAll, Speaker } from "node-bgp";
      const speaker = n => new Speaker({ asn: 64512 + n, routerId: "10.0.0." + n, listen: { port: 0, addresses: ["127.0.0." + n] } });
      const [a, b] = [speaker(1), speaker(2)];
      await a.start();
      await b.start();
      b.addNeighbor({ address: "127.0.0.1", asn: 64513, passive: true, importPolicy: acceptAll });
      a.announce({ prefix: "10.0.0.0/24", nextHop: "192.0.2.1" });
      a.addNeighbor({ address: "127.0.0.2", asn: 64514, port: b.port, localAddress: "127.0.0.1", nextHopMode: "keep", exportPolicy: acceptAll });
      b.onRoutes(changes => {
        console.log(changes[0].prefix);
        process.exit(0);
      });
      setTimeout(() => process.exit(1), 10_000);`;
    assert.equal(use("bgp/node-bgp", program), "10.0.0.0/24");
  });

  it("node-bgp finds its BFD thread in its package, which says what it misses there", () => {
    const program = `
      import { Bfd } from "node-bgp";
      const bfd = new Bfd();
      bfd.onFailure(error => {
        console.log(error.message);
        process.exit(0);
      });
      bfd.addSession({ address: "127.0.0.2" }, () => {});`;
    assert.equal(
      use("bgp/node-bgp", program),
      "BFD needs Linux and the npm package koffi (npm install koffi)",
    );
  });

  it("iptables-ts renders from its package", () => {
    const program = `
      import { rule } from "iptables-ts";
      console.log(rule().protocol("tcp").destinationPorts([80]).accept().text);`;
    assert.equal(use("felix/iptables-ts", program), "-p tcp -m multiport --destination-ports 80 -j ACCEPT");
  });
});
