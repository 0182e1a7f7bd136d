/** What is more than a verdict: who a packet seems to come from, how many may be at once, what becomes of flows. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, Socket } from "node:net";
import { adopt, openDatagramSocket } from "../../lab/packets/listeners.ts";
import { bind } from "../../linux/libc.ts";
import { socketAddress } from "../../linux/socket-address.ts";
import { openStreamListener, openStreamSocket } from "../../linux/stream-socket.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import { eventually } from "../system/test-lab.ts";
import { Cast } from "./cast.ts";
import { DATAPLANES } from "./dataplanes.ts";
import { ThreeWay } from "./three-way.ts";

/** Of the first receiver; each has its own. */
const FIRST_PORT = 7000;
const NOTHING = { resources: [], slices: [], endpoints: {} };
/** For what shall not come, after something that did. */
const SILENCE_MS = 300;

for (const dataplane of DATAPLANES) {
  describe(`beyond verdicts, on ${dataplane}`, () => {
    let cast: Cast;
    let threeWay: ThreeWay;
    const open: { close(): unknown }[] = [];
    let port = FIRST_PORT;

    before(async () => {
      cast = await Cast.up(dataplane);
      threeWay = await ThreeWay.open(cast);
    });

    afterEach(() => {
      port++;
      for (const each of open.splice(0)) each.close();
    });

    after(async () => {
      await threeWay?.close();
      await cast?.lab.end();
    });

    const addressOf = (name: string, version: IpVersion) =>
      cast.end(name).addresses.find(address => ipVersion(address) === version) as Ip;

    /** Whom a datagram seems to come from, to the one who gets it. */
    const seenFrom = async (from: string, to: string, version: IpVersion) => {
      port++;
      const address = addressOf(to, version);
      const fd = openDatagramSocket(cast.end(to).namespace, address);
      bind(fd, socketAddress(address, port));
      const receiver = await adopt(fd, address);
      const sender = await adopt(openDatagramSocket(cast.end(from).namespace, address), address);
      open.push(receiver, sender);
      const message = once(receiver, "message");
      sender.send("who am I", port, address);
      const [, { address: seen }] = await message;
      return seen;
    };

    /** So many connections at once, one after the other; which of them stand. */
    const connect = async (from: string, to: string, count: number, version: IpVersion) => {
      const address = addressOf(to, version);
      const server = createServer(socket => void socket.on("error", () => {}));
      const fd = openStreamListener({ ip: address, port: port, namespace: cast.end(to).namespace });
      await new Promise<void>(resolve => server.listen({ fd }, resolve));
      open.push(server);
      let standing = 0;
      for (let i = 0; i < count; i++) {
        const socket = new Socket({
          fd: openStreamSocket(version, { namespace: cast.end(from).namespace }),
          manualStart: true,
        } as never);
        open.push({ close: () => socket.destroy() });
        socket.on("error", () => {});
        const connected = once(socket, "connect").then(
          () => true,
          () => false,
        );
        socket.connect({ host: address, port: port });
        const silence = new Promise<false>(resolve => setTimeout(() => resolve(false), SILENCE_MS));
        if (await Promise.race([connected, silence])) standing++;
      }
      return standing;
    };

    it("natOutgoing: what leaves the pools seems to come from the host, what stays in them does not", async () => {
      const client = await cast.lab.client();
      const { items } = await client.list("IPPool");
      const resources = items.map(({ metadata: { name }, spec }) => ({
        kind: "IPPool" as const,
        metadata: { name },
        spec: { ...spec, natOutgoing: true },
      }));
      assert.equal(await seenFrom("near", "yard", 4), addressOf("near", 4));
      await threeWay.set({ ...NOTHING, resources });
      for (const version of [4, 6] as const) {
        assert.equal(await seenFrom("near", "yard", version), version === 4 ? "10.99.0.1" : "fd99::1");
        assert.equal(await seenFrom("near", "far", version), addressOf("near", version));
      }
    });

    /** Of datagrams sent at once, how many arrive. */
    const arriving = async (from: string, to: string, count: number, version: IpVersion) => {
      const address = addressOf(to, version);
      const fd = openDatagramSocket(cast.end(to).namespace, address);
      bind(fd, socketAddress(address, port));
      const receiver = await adopt(fd, address);
      const sender = await adopt(openDatagramSocket(cast.end(from).namespace, address), address);
      open.push(receiver, sender);
      let received = 0;
      receiver.on("message", () => received++);
      for (let i = 0; i < count; i++) sender.send("one of many", port, address);
      await new Promise(resolve => setTimeout(resolve, SILENCE_MS));
      return received;
    };

    for (const direction of ["ingress", "egress"] as const) {
      /** Of the one who is sent to, or who sends. */
      const limit = (qosControls: object) =>
        threeWay.set({
          ...NOTHING,
          endpoints:
            direction === "ingress"
              ? { web: { labels: { app: "web" }, qosControls } }
              : { near: { labels: { role: "front" }, qosControls } },
        });

      it(`qosControls: no more connections than the endpoint may have, ${direction}`, async () => {
        await limit({ [`${direction}MaxConnections`]: 2 });
        for (const version of [4, 6] as const) {
          assert.equal(await connect("near", "web", 4, version), 2, `IPv${version}`);
        }
      });

      it(`qosControls: no more packets than the endpoint may have, ${direction}`, async () => {
        await limit({ [`${direction}PacketRate`]: 10, [`${direction}PacketBurst`]: 5 });
        for (const version of [4, 6] as const) {
          const received = await arriving("near", "web", 100, version);
          assert.ok(received >= 5 && received < 50, `IPv${version}: ${received} of 100 received`);
        }
      });
    }

    it("flows that a new policy denies end now", async () => {
      await threeWay.set(NOTHING);
      const address = addressOf("web", 4);
      const fd = openDatagramSocket(cast.end("web").namespace, address);
      bind(fd, socketAddress(address, port));
      const receiver = await adopt(fd, address);
      const sender = await adopt(openDatagramSocket(cast.end("far").namespace, address), address);
      open.push(receiver, sender);
      const first = once(receiver, "message");
      sender.send("allowed", port, address);
      const [, from] = await first;
      const answer = once(sender, "message");
      receiver.send("yes", from.port, from.address);
      await answer;
      const spec = { selector: "app == 'web'", types: ["Ingress" as const] };
      const policy = { kind: "GlobalNetworkPolicy" as const, metadata: { name: "no" }, spec };
      await threeWay.put({ ...NOTHING, resources: [policy] });
      let received = 0;
      receiver.on("message", () => received++);
      await eventually(async () => {
        received = 0;
        for (let i = 0; i < 10; i++) sender.send("denied", port, address);
        await new Promise(resolve => setTimeout(resolve, SILENCE_MS));
        return received;
      }, 0);
    });
  });
}
