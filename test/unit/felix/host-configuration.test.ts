import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { Revision, Value } from "../../../datastore/datastore.ts";
import { key } from "../../../datastore/key.ts";
import type { Update } from "../../../datastore/reflector.ts";
import { HostConfiguration } from "../../../felix/host-configuration.ts";

const directory = mkdtempSync(join(tmpdir(), "felix-configuration-"));
const NO_FILE = join(directory, "none.cfg");

function start(env: Record<string, string> = {}) {
  const logged: string[] = [];
  const logger = pino({ level: "error" }, { write: line => void logged.push(JSON.parse(line).msg) });
  const configuration = new HostConfiguration({
    nodeName: "n1",
    env: { FELIX_CONFIGFILE: NO_FILE, ...env },
    logger,
  });
  const put = (kind: "FelixConfiguration" | "Node", name: string, value: object): boolean =>
    configuration.noteUpdates([
      {
        type: "put",
        key: key(kind, name),
        value: { apiVersion: "projectcalico.org/v3", kind, metadata: { name }, ...value } as unknown as Value,
        revision: "1" as Revision,
      },
    ]);
  return {
    logged,
    configure: (name: string, spec: object, metadata: object = {}) =>
      put("FelixConfiguration", name, { metadata: { name, ...metadata }, spec }),
    label: (name: string, labels: object) => put("Node", name, { metadata: { name, labels } }),
    forget: (name: string) =>
      configuration.noteUpdates([{ type: "delete", key: key("FelixConfiguration", name) } as Update]),
    get prefixes() {
      return configuration.resolve().interfacePrefix;
    },
  };
}

describe("felix/host-configuration", () => {
  after(() => rmSync(directory, { recursive: true }));

  it("takes what is for everybody, for nodes of a label, for this node, of a file and of the environment: the last that says something counts", () => {
    const self = start();
    assert.deepEqual(self.prefixes, ["cali"]);
    self.configure("default", { interfacePrefix: "all" });
    assert.deepEqual(self.prefixes, ["all"]);
    self.configure("racks", { interfacePrefix: "rack", nodeSelector: "rack == 'r1'" });
    assert.deepEqual(self.prefixes, ["all"]);
    self.label("n1", { rack: "r1" });
    assert.deepEqual(self.prefixes, ["rack"]);
    self.configure("node.n2", { interfacePrefix: "other" });
    self.configure("node.n1", { interfacePrefix: "own" });
    assert.deepEqual(self.prefixes, ["own"]);

    const file = join(directory, "felix.cfg");
    writeFileSync(file, "[global]\nInterfacePrefix = file\n");
    for (const [env, prefix] of [
      [{ FELIX_CONFIGFILE: file }, "file"],
      [{ FELIX_CONFIGFILE: file, FELIX_INTERFACEPREFIX: "env" }, "env"],
    ] as const) {
      const other = start(env);
      other.configure("node.n1", { interfacePrefix: "own" });
      assert.deepEqual(other.prefixes, [prefix]);
    }
  });

  it("takes parameters without a field from annotations", () => {
    const self = start();
    self.configure("default", {}, { annotations: { "config.projectcalico.org/InterfacePrefix": "note" } });
    assert.deepEqual(self.prefixes, ["note"]);
  });

  it("says which updates may change it", () => {
    const self = start();
    assert.equal(self.label("n2", { rack: "r1" }), false);
    assert.equal(self.label("n1", { rack: "r1" }), true);
    assert.equal(self.configure("default", { interfacePrefix: "all" }), true);
    assert.equal(self.forget("default"), true);
    assert.deepEqual(self.prefixes, ["cali"]);
  });

  it("says what cannot be read, and goes on without", () => {
    const self = start();
    self.configure("racks", { interfacePrefix: "rack", nodeSelector: "rack ==" });
    self.configure("default", { routeRefreshInterval: "soon" });
    assert.deepEqual(self.prefixes, ["cali"]);
    assert.deepEqual(self.logged, [
      "a FelixConfiguration's nodeSelector cannot be read",
      "a configuration value cannot be read and is ignored",
    ]);
  });
});
