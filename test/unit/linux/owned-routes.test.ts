import assert from "node:assert/strict";
import fc from "fast-check";
import { NetlinkError } from "../../../linux/errors.ts";
import { OwnedRoutes } from "../../../linux/owned-routes.ts";
import { type Route, routeKey } from "../../../linux/rtnetlink.ts";
import { cidr } from "../../../net/cidr.ts";

const OURS = 80;
const ESRCH = 3;
const ENETUNREACH = 101;

/** A kernel's main table, as far as routes replace and delete each other. */
class FakeTable {
  routes = new Map<string, Route>();
  unreachable = new Set<string>();
  writes = 0;

  listRoutes() {
    return [...this.routes.values()];
  }
  replaceRoutes(routes: readonly Route[]) {
    this.writes += routes.length;
    return routes.flatMap(item => {
      if (this.unreachable.has(item.destination))
        return [{ item, error: new NetlinkError(ENETUNREACH, "replace route") }];
      this.routes.set(routeKey(item), item);
      return [];
    });
  }
  deleteRoutes(routes: readonly Route[]) {
    this.writes += routes.length;
    return routes.flatMap(item =>
      this.routes.delete(routeKey(item)) ? [] : [{ item, error: new NetlinkError(ESRCH, "delete route") }],
    );
  }
}

const route = (destination: string, more: Partial<Route> = {}): Route => ({
  destination: cidr(destination),
  protocol: OURS,
  type: "unicast",
  interfaceIndex: 7,
  metric: 1024,
  ...more,
});

function fixture() {
  const table = new FakeTable();
  const routes = new OwnedRoutes({ rtnetlink: table, owns: r => r.protocol === OURS });
  const apply = () => [...routes.applyDeletions(), ...routes.applyAdditions()];
  return { table, routes, apply };
}

describe("linux/owned-routes", () => {
  it("writes what is wanted once", () => {
    const { table, routes, apply } = fixture();
    routes.want("a", route("10.0.0.1/32"));
    assert.deepEqual(apply(), []);
    routes.want("a", route("10.0.0.1/32"));
    apply();
    assert.equal(table.writes, 1);
    assert.equal(table.routes.size, 1);
  });

  it("removes the former route when a wish changes its metric", () => {
    const { table, routes, apply } = fixture();
    routes.want("a", route("10.0.0.1/32"));
    apply();
    routes.want("a", route("10.0.0.1/32", { metric: 512 }));
    apply();
    assert.deepEqual(
      [...table.routes.values()].map(r => r.metric),
      [512],
    );
  });

  it("writes over what another part of the program has there, and takes away nothing of it", () => {
    const table = new FakeTable();
    const others = (r: Route) => r.protocol === 3;
    const routes = new OwnedRoutes({ rtnetlink: table, owns: r => r.protocol === OURS, replaces: others });
    table.replaceRoutes([
      route("10.0.0.1/32", { protocol: 3 }),
      route("10.0.0.2/32", { protocol: 3 }),
      route("10.0.0.3/32", { protocol: 4 }),
    ]);
    routes.resync();
    routes.want("a", route("10.0.0.1/32"));
    routes.want("b", route("10.0.0.3/32"));
    routes.sweep();
    routes.applyDeletions();
    assert.deepEqual(
      routes.applyAdditions().map(failure => failure.route.destination),
      ["10.0.0.3/32"],
    );
    assert.deepEqual(
      [...table.routes.values()].map(({ protocol }) => protocol),
      [OURS, 3, 4],
    );
  });

  it("keeps routes of an earlier run until told to sweep, then removes those nobody wants", () => {
    const { table, routes, apply } = fixture();
    table.replaceRoutes([route("10.0.0.1/32"), route("10.0.0.2/32")]);
    routes.resync();
    routes.want("a", route("10.0.0.1/32"));
    apply();
    assert.equal(table.routes.size, 2);
    assert.equal(table.writes, 2, "nothing was written for what is right already");
    routes.sweep();
    apply();
    assert.deepEqual(
      [...table.routes.values()].map(r => r.destination),
      ["10.0.0.1/32"],
    );
  });

  it("never writes where somebody else's route is, and takes the place when that is gone", () => {
    const { table, routes, apply } = fixture();
    const foreign = route("10.0.0.1/32", { protocol: 4, gateway: "192.0.2.1" as never });
    table.replaceRoutes([foreign]);
    routes.resync();
    routes.sweep();
    routes.want("a", route("10.0.0.1/32"));
    assert.deepEqual(
      apply().map(f => f.error),
      [undefined],
    );
    assert.equal([...table.routes.values()][0], foreign);
    table.deleteRoutes([foreign]);
    assert.ok(routes.noteEvent("delete", foreign));
    assert.deepEqual(apply(), []);
    assert.equal([...table.routes.values()][0]?.protocol, OURS);
  });

  it("notices when somebody replaces its route, says so, and puts it back once the place is free", () => {
    const { table, routes, apply } = fixture();
    const ours = route("10.0.0.1/32");
    routes.want("a", ours);
    apply();
    const theirs = route("10.0.0.1/32", { protocol: 4, interfaceIndex: 9 });
    table.replaceRoutes([theirs]);
    assert.ok(routes.noteEvent("new", theirs));
    assert.deepEqual(
      apply().map(f => f.error),
      [undefined],
    );
    table.deleteRoutes([theirs]);
    assert.ok(routes.noteEvent("delete", theirs));
    assert.deepEqual(apply(), []);
    assert.equal([...table.routes.values()][0]?.protocol, OURS);
  });

  it("keeps its picture when the table cannot be read", () => {
    const { table, routes, apply } = fixture();
    routes.want("a", route("10.0.0.1/32"));
    apply();
    table.listRoutes = () => {
      throw new NetlinkError(105, "list routes");
    };
    assert.throws(() => routes.resync(), /ENOBUFS/);
    assert.equal(routes.size, 1);
    routes.sweep();
    routes.unwant("a");
    apply();
    assert.equal(table.routes.size, 0);
  });

  it("reports a refusal, keeps the rest, and tries again", () => {
    const { table, routes, apply } = fixture();
    table.unreachable.add("10.0.0.1/32");
    routes.want("a", route("10.0.0.1/32"));
    routes.want("b", route("10.0.0.2/32"));
    assert.deepEqual(
      apply().map(f => f.error?.code),
      ["ENETUNREACH"],
    );
    assert.equal(table.routes.size, 1);
    table.unreachable.clear();
    assert.ok(routes.pending);
    assert.deepEqual(apply(), []);
    assert.equal(table.routes.size, 2);
  });

  it("writes a large change in portions, and what failed only when asked to try again", () => {
    const { table, routes } = fixture();
    table.unreachable.add("10.0.0.2/32");
    for (let n = 1; n <= 5; n++) routes.want(`${n}`, route(`10.0.0.${n}/32`));
    assert.equal(routes.applyAdditions(3).length, 1);
    assert.equal(table.routes.size, 2);
    assert.equal(routes.applyAdditions(3).length, 0);
    assert.equal(table.routes.size, 4);
    assert.deepEqual([routes.dirty, routes.pending, routes.failing], [false, true, 1]);
    assert.equal(table.writes, 5);
    table.unreachable.clear();
    routes.applyAdditions(3);
    assert.equal(table.writes, 5);
    routes.retry(1);
    routes.applyAdditions(3);
    assert.deepEqual([table.routes.size, routes.pending], [5, false]);
    for (let n = 1; n <= 5; n++) routes.unwant(`${n}`);
    routes.applyDeletions(4);
    assert.deepEqual([table.routes.size, routes.size, routes.dirty], [1, 1, true]);
    routes.applyDeletions(4);
    assert.deepEqual([table.routes.size, routes.size, routes.pending], [0, 0, false]);
  });

  it("writes all of it again when the kernel's answers were lost", () => {
    const { table, routes, apply } = fixture();
    const { replaceRoutes, deleteRoutes } = table;
    table.replaceRoutes = table.deleteRoutes = () => {
      throw new NetlinkError(105, "batch");
    };
    routes.want("a", route("10.0.0.1/32"));
    assert.throws(() => routes.applyAdditions(), /ENOBUFS/);
    table.replaceRoutes = replaceRoutes;
    apply();
    assert.equal(table.routes.size, 1);
    routes.unwant("a");
    assert.throws(() => routes.applyDeletions(), /ENOBUFS/);
    table.deleteRoutes = deleteRoutes;
    apply();
    assert.equal(table.routes.size, 0);
  });

  it("takes what it is told during a scan for newer than what the scan finds missing", () => {
    const { table, routes, apply } = fixture();
    routes.want("lost", route("10.0.0.1/32"));
    routes.want("kept", route("10.0.0.2/32"));
    apply();
    table.routes.delete(routeKey(route("10.0.0.1/32")));
    const scan = routes.scan();
    scan.note([route("10.0.0.2/32")]);
    routes.want("new", route("10.0.0.3/32"));
    apply();
    table.writes = 0;
    scan.end(true);
    apply();
    assert.equal(table.writes, 1);
    assert.equal(table.routes.size, 3);
  });

  it("leaves what a scan did not get to as it was", () => {
    const { table, routes, apply } = fixture();
    routes.want("a", route("10.0.0.1/32"));
    apply();
    table.routes.clear();
    routes.scan().end(false);
    assert.equal(routes.size, 1);
    const superseded = routes.scan();
    const scan = routes.scan();
    scan.note([route("10.0.0.1/32")]);
    superseded.end(true);
    assert.equal(routes.size, 1);
    scan.end(true);
    assert.equal(routes.size, 1);
  });

  it("repairs what an event says is gone, and what went silently with its interface", () => {
    const { table, routes, apply } = fixture();
    const wanted = route("10.0.0.1/32");
    routes.want("a", wanted);
    apply();
    table.deleteRoutes([wanted]);
    assert.ok(routes.noteEvent("delete", wanted));
    apply();
    assert.equal(table.routes.size, 1);
    table.routes.clear();
    assert.ok(routes.forgetInterface(7));
    apply();
    assert.equal(table.routes.size, 1);
  });

  it("ends up with exactly what is wanted, whatever happened before", () => {
    const step = fc.record({
      what: fc.constantFrom("want", "unwant", "apply", "wipe", "resync", "foreign"),
      n: fc.integer({ min: 0, max: 4 }),
      metric: fc.constantFrom(512, 1024),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const { table, routes, apply } = fixture();
        routes.sweep();
        const model = new Map<string, Route>();
        for (const { what, n, metric } of steps) {
          const r = route(`10.0.0.${n}/32`, { metric });
          if (what === "want") {
            model.set(`${n}`, r);
            routes.want(`${n}`, r);
          } else if (what === "unwant") {
            model.delete(`${n}`);
            routes.unwant(`${n}`);
          } else if (what === "apply") apply();
          else if (what === "wipe") table.routes.clear();
          else if (what === "foreign")
            table.routes.set(`other ${n}`, route(`10.9.0.${n}/32`, { protocol: 4 }));
          else routes.resync();
        }
        routes.resync();
        apply();
        const ours = [...table.routes.values()].filter(r => r.protocol === OURS).map(routeKey);
        assert.deepEqual(ours.sort(), [...model.values()].map(routeKey).sort());
      }),
    );
  });
});
