import assert from "node:assert/strict";
import { pino } from "pino";
import { type LocalEndpoint, NO_CHANGES } from "../../../../../felix/calc/changes.ts";
import type { QosControls } from "../../../../../felix/calc/qos.ts";
import {
  Bandwidth,
  type BandwidthOptions,
  ifbName,
} from "../../../../../felix/dataplane/bandwidth/bandwidth.ts";
import { NetlinkError } from "../../../../../linux/errors.ts";
import type { KernelEvent } from "../../../../../linux/events.ts";
import type { Link } from "../../../../../linux/rtnetlink.ts";
import { Parent, type QueueingDiscipline, type TokenBucket } from "../../../../../linux/traffic-control.ts";
import { endpoint } from "../host.ts";

/** Links, queues and redirects made of Maps. Strict: nothing is redirected to a device that is down or not there. */
class QueueKernel {
  readonly links = new Map<number, Link>();
  readonly buckets = new Map<number, TokenBucket>();
  /** Of the buckets. */
  readonly handles = new Map<number, number>();
  readonly redirects = new Map<number, number>();
  readonly journal: string[] = [];
  #lastIndex = 0;
  #events: KernelEvent[] = [];
  failing = false;

  addLink(name: string, kind = "veth", up = true): number {
    const index = ++this.#lastIndex;
    this.#set({ index, name, kind, up, mtu: 1500, operState: "up" });
    return index;
  }

  #set(link: Link): void {
    this.links.set(link.index, link);
    this.#events.push({ type: "link", action: "new", link });
  }

  indexOf(name: string): number {
    for (const link of this.links.values()) if (link.name === name) return link.index;
    throw new Error(`no ${name}`);
  }

  takeEvents(): KernelEvent[] {
    return this.#events.splice(0);
  }

  /** `calia 1000`, `calia -> bwcali…` */
  get state(): string[] {
    const name = (index: number) => this.links.get(index)?.name;
    return [
      ...[...this.buckets].map(([index, { rate }]) => `${name(index)} ${rate}`),
      ...[...this.redirects].map(([from, to]) => `${name(from)} -> ${name(to)}`),
    ].sort();
  }

  listLinks = () => [...this.links.values()];
  getLink = (ref: number | string) =>
    this.listLinks().find(({ index, name }) => index === ref || name === ref);

  createPlainLink({ name, kind }: { name: string; kind: string }): void {
    this.addLink(name, kind, false);
    this.journal.push(`+ ${name}`);
  }

  setLink(ref: number | string, changes: object): void {
    this.#set({ ...(this.getLink(ref) as Link), ...changes });
  }

  deleteLink(ref: number | string): boolean {
    const link = this.getLink(ref);
    if (!link) return false;
    assert.ok(![...this.redirects.values()].includes(link.index), `${link.name} goes, and is redirected to`);
    this.forgetLink(link.name);
    this.journal.push(`- ${link.name}`);
    return true;
  }

  /** Somebody else does it. */
  forgetLink(name: string): void {
    const link = this.getLink(name) as Link;
    this.links.delete(link.index);
    this.buckets.delete(link.index);
    this.redirects.delete(link.index);
    for (const [from, to] of this.redirects) if (to === link.index) this.redirects.delete(from);
    this.#events.push({ type: "link", action: "delete", link });
  }

  listDisciplines(): QueueingDiscipline[] {
    if (this.failing) throw new NetlinkError(105, "list");
    return this.listLinks().map(({ index }) => {
      const bucket = this.buckets.get(index);
      const base = { interfaceIndex: index, parent: Parent.ROOT };
      return bucket
        ? { ...base, kind: "tbf", handle: this.handles.get(index) ?? 0, tokenBucket: bucket }
        : { ...base, kind: "noqueue", handle: 0 };
    });
  }

  replaceTokenBucket(index: number, handle: number, bucket: TokenBucket): void {
    this.handles.set(index, handle);
    this.buckets.set(index, bucket);
    this.journal.push(`${this.links.get(index)?.name} ${bucket.rate}`);
    this.#events.push({ type: "traffic-control", interfaceIndex: index });
  }

  deleteRootDiscipline(index: number): boolean {
    this.journal.push(`${this.links.get(index)?.name} free`);
    this.#events.push({ type: "traffic-control", interfaceIndex: index });
    return this.buckets.delete(index);
  }

  listRedirects(interfaceIndex: number) {
    const target = this.redirects.get(interfaceIndex);
    return target === undefined ? [] : [{ interfaceIndex, priority: 1, kind: "u32", target }];
  }

  addRedirect(index: number, target: number): void {
    assert.ok(this.links.get(target)?.up, "redirected to a device that is down");
    assert.ok(this.buckets.has(target), "redirected to a device without a limit");
    this.redirects.set(index, target);
    this.journal.push(`${this.links.get(index)?.name} -> ${this.links.get(target)?.name}`);
    this.#events.push({ type: "traffic-control", interfaceIndex: index });
  }

  deleteIngress(index: number): boolean {
    return this.redirects.delete(index);
  }
}

class QueueHost {
  readonly kernel: QueueKernel;
  readonly bandwidth: Bandwidth;

  constructor(kernel = new QueueKernel()) {
    this.kernel = kernel;
    this.bandwidth = new Bandwidth({
      rtnetlink: kernel as BandwidthOptions["rtnetlink"],
      trafficControl: kernel,
      interfacePrefix: ["cali"],
      logger: pino({ level: "silent" }),
    });
    kernel.takeEvents();
    this.bandwidth.resync();
  }

  /** What was done. */
  apply(endpoints: Readonly<Record<string, LocalEndpoint | undefined>> = {}): string[] {
    this.bandwidth.update({ ...NO_CHANGES, endpoints: new Map(Object.entries(endpoints)) });
    this.bandwidth.applyRemovals();
    this.bandwidth.applyAdditions();
    this.bandwidth.sweep();
    for (let i = 0; i < 4; i++) {
      this.bandwidth.noteEvents(this.kernel.takeEvents());
      if (this.bandwidth.pending) this.bandwidth.applyAdditions();
    }
    return this.kernel.journal.splice(0);
  }
}

const limited = (ingress?: number, egress?: number, burst = 8000): LocalEndpoint => {
  const limit = (bandwidth: number | undefined) => (bandwidth === undefined ? {} : { bandwidth, burst });
  const qos: QosControls = { ingress: limit(ingress), egress: limit(egress) };
  return endpoint("a", ["10.0.0.1"], { qos });
};
const IFB = ifbName("calia");

describe("felix/dataplane/bandwidth", () => {
  const host = (...links: string[]) => {
    const kernel = new QueueKernel();
    for (const link of links) kernel.addLink(link);
    return new QueueHost(kernel);
  };

  it("shapes what goes to a workload at its interface, and what comes from it at a device of its own", () => {
    const self = host("eth0", "calia");
    assert.deepEqual(self.apply({ a: limited(8000, 16_000) }), [
      "calia 1000",
      `+ ${IFB}`,
      `${IFB} 2000`,
      `calia -> ${IFB}`,
    ]);
    assert.equal(IFB.length, 15);
  });

  it("touches nothing where nothing is limited", () => {
    const self = host("calia");
    assert.deepEqual(self.apply({ a: endpoint("a", ["10.0.0.1"]) }), []);
  });

  it("leaves alone what others shape", () => {
    const self = host("calia", "calib");
    const bucket = { rate: 5, burst: 5000, limit: 5000 };
    self.kernel.replaceTokenBucket(self.kernel.indexOf("calib"), 0x10000, bucket);
    self.apply({ a: limited(8000) });
    self.apply({ a: undefined });
    assert.deepEqual(self.kernel.state, ["calib 5"]);
  });

  it("changes a limit in place, a burst alone too", () => {
    const self = host("calia");
    self.apply({ a: limited(8000) });
    assert.deepEqual(self.apply({ a: limited(16_000) }), ["calia 2000"]);
    assert.deepEqual(self.apply({ a: limited(16_000, undefined, 80_000) }), ["calia 2000"]);
    assert.deepEqual(self.apply({ a: limited(16_000, undefined, 80_000) }), []);
  });

  it("lets go of it when the limit or the endpoint is gone", () => {
    const self = host("calia");
    self.apply({ a: limited(8000, 8000) });
    assert.deepEqual(self.apply({ a: endpoint("a", ["10.0.0.1"]) }), ["calia free", `- ${IFB}`]);
    self.apply({ a: limited(8000, 8000) });
    self.apply({ a: undefined });
    assert.deepEqual([self.kernel.state, self.kernel.links.size], [[], 1]);
  });

  it("waits for the interface, and begins anew with another of that name", () => {
    const self = host("eth0");
    assert.deepEqual(self.apply({ a: limited(8000, 8000) }), []);
    self.kernel.addLink("calia");
    self.apply();
    assert.deepEqual(self.kernel.state, [`${IFB} 1000`, `calia -> ${IFB}`, "calia 1000"]);
    self.kernel.forgetLink("calia");
    self.kernel.addLink("calia");
    self.apply();
    assert.deepEqual(self.kernel.state, [`${IFB} 1000`, `calia -> ${IFB}`, "calia 1000"]);
  });

  it("takes the device away with the interface", () => {
    const self = host("calia");
    self.apply({ a: limited(8000, 8000) });
    self.kernel.forgetLink("calia");
    self.apply();
    assert.equal(self.kernel.links.size, 0);
  });

  it("finds limits of an earlier run in force, and takes away those that nobody wants", () => {
    const kernel = new QueueKernel();
    for (const name of ["calia", "calib", "calic"]) kernel.addLink(name);
    const rename = (name: string) => ({ ...limited(8000, 8000), id: name, interfaceName: name });
    new QueueHost(kernel).apply({ a: rename("calia"), b: rename("calib"), c: rename("calic") });
    kernel.forgetLink("calic");
    const second = new QueueHost(kernel);
    second.apply({ a: rename("calia") });
    assert.deepEqual(kernel.state, [`${IFB} 1000`, `calia -> ${IFB}`, "calia 1000"]);
    assert.deepEqual(
      [...kernel.links.values()].map(({ name }) => name),
      ["calia", "calib", IFB],
    );
  });

  it("repairs what somebody takes away", () => {
    const self = host("calia");
    const { kernel } = self;
    self.apply({ a: limited(8000, 8000) });
    const whole = kernel.state;
    const tell = (name: string) =>
      self.bandwidth.noteEvents([{ type: "traffic-control", interfaceIndex: kernel.indexOf(name) }]);
    const wipes = [
      () => kernel.buckets.delete(kernel.indexOf("calia")) && tell("calia"),
      () => kernel.buckets.delete(kernel.indexOf(IFB)) && tell(IFB),
      () => kernel.redirects.delete(kernel.indexOf("calia")) && tell("calia"),
      () => kernel.forgetLink(IFB),
    ];
    for (const [i, wipe] of wipes.entries()) {
      wipe();
      self.apply();
      assert.deepEqual(kernel.state, whole, `wipe ${i}`);
    }
  });

  it("tries again what the kernel refused", () => {
    const self = host("calia");
    self.kernel.failing = true;
    self.apply({ a: limited(8000) });
    assert.equal(self.bandwidth.pending, true);
    self.kernel.failing = false;
    self.apply();
    assert.deepEqual(self.kernel.state, ["calia 1000"]);
  });
});
