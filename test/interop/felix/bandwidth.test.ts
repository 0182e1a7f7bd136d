/** Limits on bandwidth with real traffic. Rates are compared with each other and with none, not with a clock. */

import assert from "node:assert/strict";
import { pino } from "pino";
import { NO_CHANGES } from "../../../felix/calc/changes.ts";
import type { QosLimits } from "../../../felix/calc/qos.ts";
import { Bandwidth, ifbName } from "../../../felix/dataplane/bandwidth/bandwidth.ts";
import { EventSubscription } from "../../../linux/events.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { writeSysctl } from "../../../linux/sysctl.ts";
import { TrafficControl } from "../../../linux/traffic-control.ts";
import { endpoint } from "../../unit/felix/dataplane/host.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Pod } from "./host.ts";
import { throughput } from "./throughput.ts";

const MBIT = 1_000_000;

describe("felix: bandwidth on a real kernel", function () {
  this.timeout(30_000);
  const scratch = new ScratchNamespaces();
  let host: string;
  let pod: Pod;
  let rtnetlink: Rtnetlink;
  let trafficControl: TrafficControl;
  let bandwidth: Bandwidth;

  before(() => {
    host = scratch.create();
    run(host, "ip", "link", "add", "uplink", "type", "bridge");
    run(host, "ip", "addr", "add", "192.0.2.1/24", "dev", "uplink");
    run(host, "ip", "link", "set", "uplink", "up");
    run(host, "ip", "route", "add", "default", "via", "192.0.2.254");
    pod = new Pod(scratch, host, "a", ["10.65.0.5"]);
    writeSysctl(`net/ipv4/conf/${pod.interfaceName}/proxy_arp`, 1, { namespace: host });
    writeSysctl("net/ipv4/ip_forward", 1, { namespace: host });
    run(host, "ip", "route", "add", "10.65.0.5/32", "dev", pod.interfaceName);
    rtnetlink = Rtnetlink.open({ namespace: host });
    trafficControl = TrafficControl.open({ namespace: host });
    const logger = pino({ level: "silent" });
    bandwidth = new Bandwidth({ rtnetlink, trafficControl, interfacePrefix: ["cali"], logger });
    bandwidth.resync();
  });

  after(() => {
    rtnetlink?.close();
    trafficControl?.close();
  });

  const limit = (ingress: QosLimits = {}, egress: QosLimits = {}) => {
    const { interfaceName } = pod;
    const one = endpoint("a", ["10.65.0.5"], { interfaceName, qos: { ingress, egress } });
    bandwidth.update({ ...NO_CHANGES, endpoints: new Map([["a", one]]) });
    bandwidth.applyAdditions();
    assert.equal(bandwidth.pending, false);
  };
  const megabits = (count: number): QosLimits => ({ bandwidth: count * MBIT, burst: MBIT });
  const toPod = () => throughput(host, pod.namespace, "10.65.0.5");
  const fromPod = () => throughput(pod.namespace, host, "192.0.2.1");

  /** The rate that was asked for, as nearly as half a second of TCP shows it; and far less than without. */
  const isAbout = (measured: number, wanted: number) => {
    const share = (measured * 8) / (wanted * MBIT);
    assert.ok(share > 0.6 && share < 1.25, `${share.toFixed(2)} of what was asked for`);
  };

  it("limits what goes to the workload, what comes from it, each by itself", async () => {
    limit();
    const free = { to: await toPod(), from: await fromPod() };
    assert.ok(Math.min(free.to, free.from) * 8 > 400 * MBIT, `without limits: ${JSON.stringify(free)}`);
    limit(megabits(40));
    isAbout(await toPod(), 40);
    assert.ok((await fromPod()) > free.from / 4);
    limit({}, megabits(80));
    isAbout(await fromPod(), 80);
    assert.ok((await toPod()) > free.to / 4);
  });

  it("can be changed, both at once", async () => {
    limit(megabits(80), megabits(20));
    isAbout(await toPod(), 80);
    isAbout(await fromPod(), 20);
  });

  it("is repaired when somebody takes it away, told by the kernel's events", async () => {
    const of = (name: string) =>
      JSON.parse(run(host, "tc", "-j", "qdisc", "show", "dev", name)).map(
        ({ kind, options }: { kind: string; options: { rate?: number } }) => [kind, options.rate],
      );
    const ifb = ifbName(pod.interfaceName);
    const state = () => {
      try {
        return [
          of(pod.interfaceName),
          of(ifb),
          trafficControl.listRedirects(rtnetlink.getLink(pod.interfaceName)!.index).length,
        ];
      } catch {
        return []; // The device is not there.
      }
    };
    const whole = JSON.stringify(state());
    let told = Promise.withResolvers<void>();
    await using _events = EventSubscription.open({
      namespace: host,
      groups: ["link", "traffic-control"],
      onEvents: events => {
        if (bandwidth.noteEvents(events)) bandwidth.applyAdditions();
        told.resolve();
      },
      onFailure: error => told.reject(error),
    });
    for (const words of [
      `tc qdisc del dev ${pod.interfaceName} root`,
      `tc qdisc del dev ${pod.interfaceName} ingress`,
      `tc qdisc change dev ${pod.interfaceName} root handle ca1: tbf rate 1gbit burst 20000 limit 20000`,
      `tc qdisc del dev ${ifb} root`,
      `ip link set ${ifb} down`,
      `ip link del ${ifb}`,
    ]) {
      const [command = "", ...rest] = words.split(" ");
      run(host, command, ...rest);
      // Ends by the test's timeout where it is not repaired.
      while (JSON.stringify(state()) !== whole) {
        told = Promise.withResolvers();
        await told.promise;
      }
    }
    isAbout(await fromPod(), 20);
  });

  it("leaves nothing behind when there is no limit", () => {
    limit();
    const links = run(host, "ip", "-o", "link");
    assert.ok(!links.includes("bwcali"));
    assert.equal(run(host, "tc", "qdisc", "show", "dev", pod.interfaceName).includes("tbf"), false);
    assert.equal(run(host, "tc", "qdisc", "show", "dev", pod.interfaceName).includes("ingress"), false);
  });
});
