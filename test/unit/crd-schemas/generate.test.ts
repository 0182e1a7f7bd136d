import assert from "node:assert/strict";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildModel, CrdError, loadCrds, type Schema } from "../../../crd-schemas/generate/crd.ts";
import { generate, isUpToDate } from "../../../crd-schemas/generate/main.ts";
import { documentedDefaults } from "../../../crd-schemas/generate/tables.ts";
import { DEFAULTS, validateResource } from "../../../crd-schemas/index.ts";

const FOLDER = join(import.meta.dirname, "../../../crd-schemas");

describe("crd-schemas/generate", () => {
  let root: string;
  let folders: { schemas: string; output: string };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "calyx-crds-"));
    folders = { schemas: join(root, "schemas"), output: join(root, "schemas/generated") };
    for (const file of [
      "tiers.yaml",
      "profiles.yaml",
      "bgpconfigurations.yaml",
      "felixconfigurations.yaml",
      "kubecontrollersconfigurations.yaml",
    ]) {
      cpSync(join(FOLDER, file), join(folders.schemas, file));
    }
  });

  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const outputs = () =>
    Object.fromEntries(
      readdirSync(folders.output).map(name => [name, readFileSync(join(folders.output, name), "utf8")]),
    );

  it("writes the same bytes each time, and nothing beside them", async () => {
    await generate(folders);
    const first = outputs();
    assert.deepEqual(Object.keys(first).sort(), [
      "tables.ts",
      "types.ts",
      "validators.d.ts",
      "validators.js",
    ]);
    await generate(folders);
    assert.deepEqual(outputs(), first);
  });

  it("knows when there is nothing to do", async () => {
    assert.equal(isUpToDate(folders), false);
    await generate(folders);
    assert.equal(isUpToDate(folders), true);
    const later = statSync(join(folders.output, "types.ts")).mtimeMs / 1000 + 1;
    utimesSync(join(folders.schemas, "tiers.yaml"), later, later);
    assert.equal(isUpToDate(folders), false);
    await generate(folders);
    writeFileSync(join(folders.output, "types.ts"), "");
    rmSync(join(folders.output, "validators.js"));
    assert.equal(isUpToDate(folders), false);
  });

  it("writes the type of a rule once", async () => {
    await generate(folders);
    const { "types.ts": types } = outputs();
    assert.equal(types!.match(/^export interface Rule\b/gm)?.length, 1);
    assert.match(types!, /ingress\?: Rule\[\]/);
    assert.match(types!, /protocol\?: Protocol/);
    assert.match(
      types!,
      /apiVersion: "projectcalico.org\/v3";\n {2}kind: "Tier";\n {2}metadata: ObjectMeta;/,
    );
  });

  it("refuses two schemas of one title", () => {
    const [profiles, tiers] = loadCrds(FOLDER).filter(({ kind }) => kind === "Profile" || kind === "Tier");
    const spec = tiers!.schema.properties!["spec"]!;
    const clash: Schema = {
      type: "object",
      properties: { ...spec.properties, rule: { type: "string", title: "Rule" } },
    };
    const changed = { ...tiers!, schema: { ...tiers!.schema, properties: { spec: clash } } };
    assert.throws(
      () => buildModel([profiles!, changed], { type: "object" }),
      (error: unknown) => {
        return (
          error instanceof CrdError &&
          error.file === "tiers.yaml" &&
          /another schema is called Rule too/.test(error.message)
        );
      },
    );
  });

  it("reads defaults from descriptions, as the values they stand for", () => {
    const field = (type: string, description: string, more: object = {}): Schema => ({
      type,
      description,
      ...more,
    });
    const schema: Schema = {
      properties: {
        on: field("boolean", "Whether. [Default true]"),
        mask: field("integer", "Bits. [Default 0xff]"),
        wait: field("string", "How long. [Default 90s]"),
        none: field("string", "Without one."),
        ports: field("array", "Ports. [Default tcp:22, udp:68]", { items: { title: "ProtoPort" } }),
        inner: { type: "object", properties: { period: field("string", "Time. [Default 5m]") } },
      },
    };
    assert.deepEqual(documentedDefaults(schema), {
      on: true,
      mask: 255,
      wait: "90s",
      ports: [
        { protocol: "TCP", port: 22 },
        { protocol: "UDP", port: 68 },
      ],
      inner: { period: "5m" },
    });
  });

  it("the defaults it found are themselves valid, field by field", () => {
    for (const [kind, spec] of Object.entries(DEFAULTS)) {
      const { problems } = validateResource({
        apiVersion: "projectcalico.org/v3",
        kind,
        metadata: { name: "default" },
        spec,
      });
      assert.deepEqual(problems, undefined, kind);
    }
    assert.equal(DEFAULTS.FelixConfiguration.iptablesMarkMask, 0xffff0000);
    assert.equal(DEFAULTS.FelixConfiguration.failsafeInboundHostPorts.length, 9);
    assert.equal(DEFAULTS.BGPConfiguration.asNumber, 64512);
  });
});
