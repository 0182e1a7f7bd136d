import assert from "node:assert/strict";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { loadCrds, readYaml, type Schema } from "../../../crd-schemas/generate/crd.ts";
import { CRD_GROUP, CRD_VERSION, findKind, KINDS, kindInfo } from "../../../crd-schemas/index.ts";
import { SCALARS } from "../../../crd-schemas/scalars.ts";

const FOLDER = join(import.meta.dirname, "../../../crd-schemas");
const crds = loadCrds(FOLDER);

function visit(schema: Schema, path: string, see: (schema: Schema, path: string) => void): void {
  see(schema, path);
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    visit(property, `${path}.${name}`, see);
  if (schema.items) visit(schema.items, `${path}[]`, see);
  if (typeof schema.additionalProperties === "object") visit(schema.additionalProperties, `${path}{}`, see);
}

/** Whatever stands below spec and status, with the paths at which `wrong` holds. */
function offenders(wrong: (schema: Schema, path: string) => boolean): string[] {
  const found: string[] = [];
  for (const { kind, schema } of crds) {
    for (const part of ["spec", "status"]) {
      const top = schema.properties![part];
      if (top) visit(top, `${kind}.${part}`, (node, path) => wrong(node, path) && found.push(path));
    }
  }
  return found;
}

describe("crd-schemas: the CRDs", () => {
  it("are one for each kind, named and scoped as the table of kinds has it", () => {
    assert.deepEqual(crds.map(({ kind }) => kind).sort(), Object.keys(KINDS).sort());
    for (const { kind, file, plural, namespaced } of crds) {
      const info = KINDS[kind as keyof typeof KINDS];
      assert.deepEqual({ plural, namespaced }, { plural: info.plural, namespaced: info.namespaced }, kind);
      // biome-ignore lint/suspicious/noExplicitAny: the outer form of a CRD is what is checked here
      const document = readYaml(join(FOLDER, file)) as any;
      assert.equal(document.apiVersion, "apiextensions.k8s.io/v1");
      assert.equal(document.kind, "CustomResourceDefinition");
      assert.equal(document.metadata.name, `${plural}.${CRD_GROUP}`);
      assert.equal(document.spec.group, CRD_GROUP);
      assert.equal(document.spec.names.singular, kind.toLowerCase());
      assert.equal(document.spec.names.listKind, `${kind}List`);
      assert.deepEqual(
        document.spec.versions.map((v: { name: string; served: boolean; storage: boolean }) => [
          v.name,
          v.served,
          v.storage,
        ]),
        [[CRD_VERSION, true, true]],
      );
      const internal = document.metadata.annotations?.["calyx/internal"] === "true";
      assert.equal(internal, kindInfo(kind as keyof typeof KINDS).internal ?? false, kind);
    }
  });

  it("describe every field", () => {
    const unknown = offenders(
      (schema, path) => !path.endsWith("{}") && !/^[A-Z].*[.)\]]$/s.test(schema.description ?? ""),
    );
    assert.deepEqual(unknown, []);
  });

  it("are structural: every value has one type, or is an int or string, or is opaque", () => {
    const wrong = offenders(schema => {
      const ways = [
        typeof schema.type === "string",
        schema["x-kubernetes-int-or-string"] === true,
        schema["x-kubernetes-preserve-unknown-fields"] === true && schema.type === undefined,
      ];
      return ways.filter(Boolean).length !== 1;
    });
    assert.deepEqual(wrong, []);
    const forbidden = [
      "$ref",
      "oneOf",
      "anyOf",
      "allOf",
      "not",
      "uniqueItems",
      "definitions",
      "dependencies",
      "id",
      "$schema",
    ];
    assert.deepEqual(
      offenders(schema => forbidden.some(keyword => keyword in schema)),
      [],
    );
  });

  it("say of every mapping what is in it, and either fields or values", () => {
    const wrong = offenders(
      schema =>
        schema.type === "object" &&
        (schema.properties === undefined) === (schema.additionalProperties === undefined),
    );
    assert.deepEqual(wrong, []);
    assert.deepEqual(
      offenders(({ required, properties }) => (required ?? []).some(name => !properties?.[name])),
      [],
    );
  });

  it("bound lists and texts, so that the API server's estimate of what rules cost stays low", () => {
    assert.deepEqual(
      offenders(({ type, maxItems, items }) => type === "array" && (!maxItems || !items)),
      [],
    );
    const unbounded = ({ type, maxLength, format, ...schema }: Schema) =>
      type === "string" && schema.enum === undefined && format === undefined && !maxLength;
    assert.deepEqual(
      offenders((schema, path) => !path.endsWith("{}") && unbounded(schema)),
      [],
    );
    const rules = offenders(schema => schema["x-kubernetes-validations"] !== undefined);
    assert.ok(
      rules.every(path => path.endsWith(".spec")),
      `rules inside lists multiply: ${rules}`,
    );
    const costly = offenders(schema =>
      /\.(all|exists|exists_one|map|filter|matches)\(/.test(
        JSON.stringify(schema["x-kubernetes-validations"] ?? ""),
      ),
    );
    assert.deepEqual(costly, []);
  });

  it("have defaults that their own schema allows, only for scalars and lists of them", () => {
    const wrong = offenders(({ default: value, ...schema }) => {
      if (value === undefined) return false;
      const values = Array.isArray(value) ? value : [value];
      const allowed = (Array.isArray(value) ? schema.items : schema)?.enum;
      return allowed !== undefined && !values.every(one => allowed.includes(one));
    });
    assert.deepEqual(wrong, []);
  });

  it("write no word that YAML 1.1 takes for a boolean where text is meant", () => {
    assert.deepEqual(
      offenders(schema => (schema.enum ?? []).some(value => typeof value === "boolean")),
      [],
    );
  });

  it("repeat the schema of a rule, and every other named type, word for word", () => {
    const known = new Map<string, { schema: Schema; path: string }>();
    const users = new Map<string, Set<string>>();
    for (const { kind, schema } of crds) {
      visit(schema, kind, (node, path) => {
        if (node.title === undefined || node.title in SCALARS || node.title === "Selector") return;
        const { description: _, default: __, ...rest } = node;
        const first = known.get(node.title);
        if (!first) known.set(node.title, { schema: rest, path });
        else assert.ok(isDeepStrictEqual(first.schema, rest), `${path} differs from ${first.path}`);
        users.set(node.title, (users.get(node.title) ?? new Set()).add(kind));
      });
    }
    assert.deepEqual([...users.get("Rule")!].sort(), [
      "GlobalNetworkPolicy",
      "NetworkPolicy",
      "Profile",
      "StagedGlobalNetworkPolicy",
      "StagedNetworkPolicy",
    ]);
  });

  it("give each scalar title to text or int-or-string only", () => {
    const wrong = offenders(
      schema =>
        schema.title !== undefined &&
        schema.title in SCALARS &&
        schema.type !== "string" &&
        !schema["x-kubernetes-int-or-string"],
    );
    assert.deepEqual(wrong, []);
  });
});

describe("crd-schemas: kinds", () => {
  it("are found by name in any case, plural and alias", () => {
    const expected: Record<string, string> = {
      ippool: "IPPool",
      IPPools: "IPPool",
      pool: "IPPool",
      gnp: "GlobalNetworkPolicy",
      policies: "NetworkPolicy",
      wep: "WorkloadEndpoint",
      nodes: "Node",
      no: "Node",
      bgpPeer: "BGPPeer",
      felixconfigs: "FelixConfiguration",
      ipamconfig: "IPAMConfiguration",
      tiers: "Tier",
    };
    for (const [text, kind] of Object.entries(expected)) assert.equal(findKind(text), kind, text);
    assert.equal(findKind("pods"), undefined);
  });

  it("have no alias twice", () => {
    const names = Object.entries(KINDS).flatMap(([, info]) => [...("aliases" in info ? info.aliases : [])]);
    assert.deepEqual(names, [...new Set(names)]);
  });
});
