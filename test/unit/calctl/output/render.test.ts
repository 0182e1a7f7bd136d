import assert from "node:assert/strict";
import { parse } from "yaml";
import { COLUMNS, type Row } from "../../../../calctl/output/columns.ts";
import { parseFormat } from "../../../../calctl/output/format.ts";
import { type RenderOptions, type ResultGroup, render } from "../../../../calctl/output/render.ts";
import { RESOURCE_KINDS, type ResourceKind } from "../../../../datastore/key.ts";

const OPTIONS: RenderOptions = { export: false, showNamespace: false, defaults: { asNumber: 64512 } };

function resource(kind: ResourceKind, name: string, spec: object, metadata: object = {}): Row {
  return {
    kind,
    apiVersion: "projectcalico.org/v3",
    metadata: { name, ...metadata },
    spec,
  } as unknown as Row;
}

function listed(kind: ResourceKind, ...items: Row[]): ResultGroup[] {
  return [{ kind, items, list: { resourceVersion: "12" } }];
}

async function shown(
  groups: ResultGroup[],
  format: string,
  options: Partial<RenderOptions> = {},
): Promise<string> {
  return render(await parseFormat(format, "/"), groups, { ...OPTIONS, ...options });
}

describe("tables of resources", () => {
  it("exist for every kind, with columns that can be read from an empty spec", async () => {
    for (const kind of RESOURCE_KINDS) {
      const group = listed(kind, resource(kind, "x", {}));
      for (const format of ["ps", "wide"] as const) {
        const [headings] = (await shown(group, format)).split("\n");
        assert.deepEqual(headings!.split(/ +/), COLUMNS[kind][format]);
      }
    }
  });

  const policy = resource(
    "NetworkPolicy",
    "web",
    { tier: "default", order: 10.5, selector: "role == 'web'" },
    { namespace: "prod" },
  );
  const cases: [what: string, groups: ResultGroup[], format: string, lines: string[]][] = [
    ["policies", listed("NetworkPolicy", policy), "ps", ["NAME   TIER", "web    default"]],
    [
      "policies, wide",
      listed("NetworkPolicy", policy),
      "wide",
      ["NAME   TIER      ORDER   SELECTOR", "web    default   10.5    role == 'web'"],
    ],
    [
      "pools",
      listed("IPPool", resource("IPPool", "p", { cidr: "17.2.0.0/16", nodeSelector: "all()" })),
      "ps",
      ["NAME   CIDR          SELECTOR", "p      17.2.0.0/16   all()"],
    ],
    [
      "nodes, with the cluster's AS number in brackets",
      listed(
        "Node",
        resource("Node", "a", { bgp: { ipv4Address: "10.0.0.1/24" } }),
        resource("Node", "b", { bgp: { asNumber: 65001 } }),
      ),
      "wide",
      ["NAME   ASN       IPV4          IPV6", "a      (64512)   10.0.0.1/24", "b      65001"],
    ],
    [
      "BGP peers: of all nodes, of some, of one",
      listed(
        "BGPPeer",
        resource("BGPPeer", "g", { peerIP: "10.0.0.1", asNumber: 64567 }),
        resource("BGPPeer", "s", { peerIP: "10.0.0.2", nodeSelector: "rack == '1'" }),
        resource("BGPPeer", "n", { peerIP: "10.0.0.3", node: "node1" }),
      ),
      "ps",
      [
        "NAME   PEERIP     NODE          ASN",
        "g      10.0.0.1   (global)      64567",
        "s      10.0.0.2   rack == '1'",
        "n      10.0.0.3   node1",
      ],
    ],
    [
      "workload endpoints",
      listed(
        "WorkloadEndpoint",
        resource("WorkloadEndpoint", "n-cni-c-eth0", {
          workload: "bbox1",
          node: "host1",
          ipNetworks: ["192.168.0.1/32"],
          interfaceName: "cali1",
        }),
      ),
      "ps",
      ["WORKLOAD   NODE    NETWORKS         INTERFACE", "bbox1      host1   192.168.0.1/32   cali1"],
    ],
    [
      "profiles, wide",
      listed("Profile", resource("Profile", "p", { labelsToApply: { a: "", b: "c" } })),
      "wide",
      ["NAME   LABELS", "p      a=,b=c"],
    ],
    [
      "columns of choice",
      listed("NetworkPolicy", policy),
      "custom-columns=order, Name",
      ["ORDER   NAME", "10.5    web"],
    ],
  ];
  for (const [what, groups, format, lines] of cases)
    it(what, async () => assert.equal(await shown(groups, format), `${lines.join("\n")}\n\n`));

  it("cut long lists of nets at 80 characters", async () => {
    const nets = Array.from({ length: 30 }, (_, i) => `10.0.${i}.0/24`);
    const cell = (await shown(listed("NetworkSet", resource("NetworkSet", "s", { nets })), "wide"))
      .split("\n")[1]!
      .slice(7);
    assert.equal(cell.length, 80);
    assert.ok(cell.endsWith("..."));
  });
  it("begin with the namespace where several are shown", async () => {
    assert.equal(
      await shown(listed("NetworkPolicy", policy), "ps", { showNamespace: true }),
      "NAMESPACE   NAME   TIER\nprod        web    default\n\n".replace(
        "NAMESPACE   NAME",
        "NAMESPACE   NAME",
      ),
    );
  });
  it("follow one another for several kinds, a blank line after each", async () => {
    const groups = [...listed("Tier", resource("Tier", "t", { order: 5 })), ...listed("Profile")];
    assert.equal(await shown(groups, "ps"), "NAME   ORDER\nt      5\n\nNAME\n\n");
  });
  it("refuse a column there is not, and say which there are", async () => {
    await assert.rejects(
      shown(listed("IPPool"), "custom-columns=NAME,CIDER"),
      /IPPool has no column CIDER \(did you mean "CIDR"\?\); it has NAME, CIDR, /,
    );
  });
});

describe("documents of resources", () => {
  const one = resource(
    "Tier",
    "t",
    { order: 5 },
    { uid: "u", resourceVersion: "3", creationTimestamp: "2026-01-01T00:00:00Z", labels: { a: "b" } },
  );
  it("are the resource itself when one was named", async () => {
    assert.deepEqual(JSON.parse(await shown([{ kind: "Tier", items: [one] }], "json")), one);
  });
  it("are a <Kind>List when a kind was listed", async () => {
    const list = JSON.parse(await shown(listed("Tier", one), "json"));
    assert.deepEqual(list, {
      kind: "TierList",
      apiVersion: "projectcalico.org/v3",
      metadata: { resourceVersion: "12" },
      items: [one],
    });
  });
  it("are a List when kinds mix", async () => {
    const groups = [...listed("Tier", one), ...listed("Profile", resource("Profile", "p", {}))];
    const list = JSON.parse(await shown(groups, "json"));
    assert.equal(list.kind, "List");
    assert.equal(list.items.length, 2);
  });
  it("are YAML that YAML 1.1 readers take for the same", async () => {
    const tricky = resource("Profile", "p", {
      labelsToApply: { on: "yes", port: "12:30", n: "1_000", v: "1.0" },
    });
    const text = await shown([{ kind: "Profile", items: [tricky] }], "yaml");
    assert.deepEqual(parse(text, { version: "1.1" }), tricky);
    assert.deepEqual(parse(text), tricky);
    assert.match(text, /^apiVersion: projectcalico\.org\/v3\nkind: Profile\nmetadata:\n {2}name: p\nspec:\n/);
  });
  it("lose what only the cluster means with --export", async () => {
    const { metadata } = JSON.parse(await shown([{ kind: "Tier", items: [one] }], "json", { export: true }));
    assert.deepEqual(metadata, { name: "t", labels: { a: "b" } });
  });
  it("go through a template, as lists and all together", async () => {
    assert.equal(
      await shown(listed("Tier", one), "go-template={{range .}}{{range .Items}}{{.Name}}{{end}}{{end}}"),
      "t",
    );
    assert.equal(
      await shown(listed("Tier", one), "go-template={{range .items}}{{.metadata.name}}{{end}}"),
      "t",
    );
    assert.equal(
      await shown([{ kind: "Tier", items: [one] }], "go-template={{range .}}{{.Spec.Order}}{{end}}"),
      "5",
    );
  });
});

describe("-o", () => {
  for (const [text, message] of [
    ["yml", /unrecognized output format 'yml' \(did you mean "yaml"\?\)/],
    ["custom-columns=", /custom-columns needs columns/],
    ["custom-columns", /custom-columns needs columns/],
    ["go-template=", /go-template needs a value/],
    ["go-template={{", /action is not closed/],
    ["go-template-file=/nonexistent", /cannot read the template/],
    ["yaml=x", /unrecognized output format/],
  ] as const)
    it(`refuses ${text}`, () => assert.rejects(parseFormat(text, "/"), message));
});
