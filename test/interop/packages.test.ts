import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
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
    const options = { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] } as const;
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", packLibrary(library)], options);
    return execFileSync(process.execPath, ["--input-type=module", "--eval", program], options).trim();
  }

  it("node-bgp speaks from its package", () => {
    const program = `
      import { BgpSpeaker } from "node-bgp";
      const options = asn => ({ asn, routerId: "10.0.0." + (asn - 64511), listen: { port: 0, address: "127.0.0.1" } });
      const [a, b] = [new BgpSpeaker(options(64512)), new BgpSpeaker(options(64513))];
      await a.start();
      await b.start();
      b.addNeighbor({ address: "127.0.0.1", asn: 64512, passive: true });
      a.announce({ prefix: "10.0.0.0/24" });
      a.addNeighbor({ address: "127.0.0.1", asn: 64513, port: b.port });
      b.onRoutes(changes => {
        console.log(changes[0].prefix);
        process.exit(0);
      });
      setTimeout(() => process.exit(1), 10_000);`;
    assert.equal(use("bgp/node-bgp", program), "10.0.0.0/24");
  });

  it("iptables-ts renders from its package", () => {
    const program = `
      import { rule } from "iptables-ts";
      console.log(rule().protocol("tcp").destinationPorts([80]).accept().text);`;
    assert.equal(use("felix/iptables-ts", program), "-p tcp -m multiport --destination-ports 80 -j ACCEPT");
  });
});
