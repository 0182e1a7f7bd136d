import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");

/** Ground floor first; a room imports only from itself and from rooms before it. See docs/architecture.md. */
const ROOMS = [
  "net",
  "daemon",
  "linux",
  "bgp/node-bgp",
  "felix/iptables-ts",
  "crd-schemas",
  "input",
  "policy",
  "datastore",
  "ipam",
  "node",
  "felix/calc",
  "felix/dataplane",
  "felix",
  "bgp",
  "lab",
  "calctl",
] as const;

/** Libraries that leave the house import nothing of it, and are imported by name only. */
const LIBRARIES: Readonly<Record<string, string>> = {
  "node-bgp": "bgp/node-bgp",
  "iptables-ts": "felix/iptables-ts",
};

function roomOf(path: string): string | undefined {
  return [...ROOMS].sort((a, b) => b.length - a.length).find(room => path.startsWith(`${room}/`));
}

interface Import {
  readonly file: string;
  readonly target: string;
}

function importsOf(file: string): Import[] {
  const source = readFileSync(join(ROOT, file), "utf8");
  const found = source.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g);
  return Array.from(found, ([, specifier = ""]) => {
    const library = LIBRARIES[specifier];
    const target = specifier.startsWith(".")
      ? relative(ROOT, join(ROOT, dirname(file), specifier))
      : `${library ?? specifier}/`;
    return { file, target };
  });
}

const files = globSync(
  "{net,daemon,linux,bgp,felix,crd-schemas,input,policy,datastore,ipam,node,lab,calctl}/**/*.ts",
  {
    cwd: ROOT,
    exclude: path => path.includes("node_modules") || path.includes("generated"),
  },
);

describe("the house", () => {
  it("has a room for every file", () => {
    assert.deepEqual(
      files.filter(file => roomOf(file) === undefined),
      [],
    );
  });

  it("lets a room import only from rooms below it", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const room = roomOf(file) as string;
      for (const { target } of importsOf(file)) {
        const from = roomOf(target);
        if (from === undefined || from === room) continue;
        if (ROOMS.indexOf(from as never) > ROOMS.indexOf(room as never))
          wrong.push(`${file} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("keeps its two libraries apart from all rooms", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const room = roomOf(file) as string;
      const library = Object.values(LIBRARIES).includes(room);
      for (const { target } of importsOf(file)) {
        const from = roomOf(target);
        if (library && from !== undefined && from !== room) wrong.push(`${file} imports ${target}`);
        const reachedInto =
          from !== room &&
          Object.values(LIBRARIES).some(path => target.startsWith(`${path}/`) && target !== `${path}/`);
        if (reachedInto) wrong.push(`${file} reaches into ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("has a README of its purpose in every room", () => {
    const missing = ROOMS.filter(room => globSync(`${room}/README.md`, { cwd: ROOT }).length === 0);
    assert.deepEqual(missing, []);
  });
});
