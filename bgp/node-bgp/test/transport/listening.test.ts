import assert from "node:assert/strict";
import { BgpError } from "../../errors.ts";
import { type ListenAddresses, Listening } from "../../transport/listening.ts";
import type { Listener, ListenOptions, PasswordRoom, Transport } from "../../transport/transport.ts";
import { SimClock } from "../kit/sim-clock.ts";

/** A host whose addresses come and go; what is listened on is `address:port`. */
class Host {
  readonly clock = new SimClock();
  addresses = ["10.0.0.1", "10.0.0.2", "fd00::1", "0.0.0.0", "::"];
  readonly taken = new Set<string>();
  /** Key by peers, by listener. */
  readonly keys = new Map<string, Map<string, string>>();
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly pending: string[] = [];
  readonly rooms: PasswordRoom[] = [];
  maxKeys = 1000;
  readonly transport: Transport = {
    listen: async options => this.#listen(options),
    connect: () => assert.fail("nobody dials here"),
  };
  readonly listening = new Listening(this.transport, this.clock, {
    onConnection: () => {},
    onPending: address => this.pending.push(address),
    onPasswordRoom: room => this.rooms.push(room),
  });

  change(setting: Partial<ListenAddresses> | undefined): Promise<void> {
    return this.listening.change(
      setting && { port: 179, addresses: undefined, interface: undefined, ...setting },
    );
  }

  /** Simulated time, and the promises that come due in it. */
  async pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      this.clock.advance(1000);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }

  get open(): string[] {
    return [...this.keys.keys()].sort();
  }

  #listen({ address, port: wanted, interface: name }: ListenOptions): Listener {
    const port = wanted === 0 ? 40_000 : wanted;
    const place = `${address}:${port}`;
    const fail = (system: string): never => {
      throw new BgpError({ code: "ListenFailed", address, port, system }, system);
    };
    if (!this.addresses.includes(address)) fail("EADDRNOTAVAIL");
    if (this.taken.has(place) || this.keys.has(place)) fail("EADDRINUSE");
    const keys = new Map<string, string>();
    this.keys.set(place, keys);
    this.log.push(`+${place}${name === undefined ? "" : `%${name}`}`);
    return {
      port,
      setPassword: (peers, password) => {
        if (password === undefined) keys.delete(peers);
        else if (keys.size >= this.maxKeys && !keys.has(peers)) throw roomError(this.maxKeys);
        else keys.set(peers, password);
      },
      passwordRoom: () => ({ keys: keys.size, room: this.maxKeys, optionMemory: 1, needed: 2 }),
      close: async () => {
        this.keys.delete(place);
        this.log.push(`-${place}`);
      },
    };
  }
}

function roomError(room: number): BgpError {
  return new BgpError({ code: "PasswordRoom", room, optionMemory: 1, needed: 2 }, "no room");
}

describe("listening", () => {
  it("is on both versions by default, and on what is named otherwise", async () => {
    const host = new Host();
    await host.change({});
    assert.deepEqual(host.open, ["0.0.0.0:179", ":::179"]);
    await host.change({ addresses: ["10.0.0.1", "fd00::1"] });
    assert.deepEqual(host.open, ["10.0.0.1:179", "fd00::1:179"]);
    await host.change(undefined);
    assert.deepEqual(host.open, []);
  });

  it("does without IPv6 on a host that has none, without a word", async () => {
    const host = new Host();
    host.addresses = ["0.0.0.0"];
    await host.change({});
    await host.pass(3);
    assert.deepEqual(host.open, ["0.0.0.0:179"]);
    assert.deepEqual(host.pending, []);
    assert.deepEqual(host.listening.status(), { addresses: ["0.0.0.0"], pending: [] });
  });

  it("waits for an address that is not there yet, says so once, and gives it the keys it missed", async () => {
    const host = new Host();
    host.addresses = ["10.0.0.1"];
    await host.change({ addresses: ["10.0.0.1", "10.0.0.2"] });
    assert.deepEqual(host.listening.status(), { addresses: ["10.0.0.1"], pending: ["10.0.0.2"] });
    host.listening.setPassword("10.9.0.1", "secret");
    await host.pass(3);
    assert.deepEqual(host.pending, ["10.0.0.2"]);
    host.addresses.push("10.0.0.2");
    await host.pass(1);
    assert.deepEqual(host.listening.status(), { addresses: ["10.0.0.1", "10.0.0.2"], pending: [] });
    assert.deepEqual(host.keys.get("10.0.0.2:179"), new Map([["10.9.0.1", "secret"]]));
  });

  it("goes on waiting when the address comes and its port is taken", async () => {
    const host = new Host();
    host.addresses = [];
    await host.change({ addresses: ["10.0.0.1"] });
    host.addresses.push("10.0.0.1");
    host.taken.add("10.0.0.1:179");
    await host.pass(2);
    assert.deepEqual(host.open, []);
    host.taken.clear();
    await host.pass(1);
    assert.deepEqual(host.open, ["10.0.0.1:179"]);
  });

  it("waits for nothing any more once it is told otherwise", async () => {
    const host = new Host();
    host.addresses = ["10.0.0.1"];
    await host.change({ addresses: ["10.0.0.1", "10.0.0.2"] });
    await host.change({ addresses: ["10.0.0.1"] });
    host.addresses.push("10.0.0.2");
    await host.pass(3);
    assert.deepEqual(host.open, ["10.0.0.1:179"]);
    assert.equal(host.log.length, 1);
  });

  it("has the new place before it leaves the old one", async () => {
    const host = new Host();
    await host.change({ addresses: ["10.0.0.1", "10.0.0.2"] });
    host.log.length = 0;
    await host.change({ addresses: ["10.0.0.2", "fd00::1"] });
    assert.deepEqual(host.log, ["+fd00::1:179", "-10.0.0.1:179"]);
    host.log.length = 0;
    await host.change({ addresses: ["10.0.0.2"], port: 1790 });
    assert.deepEqual(host.log.slice(0, 1), ["+10.0.0.2:1790"]);
    assert.deepEqual(host.open, ["10.0.0.2:1790"]);
  });

  it("leaves the old place first where only the interface is another", async () => {
    const host = new Host();
    await host.change({ addresses: ["10.0.0.1"] });
    await host.change({ addresses: ["10.0.0.1"], interface: "eth1" });
    assert.deepEqual(host.log, ["+10.0.0.1:179", "-10.0.0.1:179", "+10.0.0.1:179%eth1"]);
  });

  it("stays where it is when the new place cannot be had", async () => {
    const host = new Host();
    await host.change({ addresses: ["10.0.0.1"] });
    host.taken.add("10.0.0.2:1790");
    await assert.rejects(host.change({ port: 1790, addresses: ["10.0.0.1", "10.0.0.2"] }), {
      code: "ListenFailed",
    });
    assert.deepEqual(host.open, ["10.0.0.1:179"]);
  });

  it("uses one free port for all addresses", async () => {
    const host = new Host();
    await host.change({ port: 0, addresses: ["10.0.0.1"] });
    host.addresses.push("10.0.0.3");
    await host.change({ port: 0, addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] });
    assert.deepEqual(host.open, ["10.0.0.1:40000", "10.0.0.2:40000", "10.0.0.3:40000"]);
    assert.equal(host.listening.port, 40_000);
  });

  it("keeps the keys that are there when one more does not fit, and has said so before", async () => {
    const host = new Host();
    host.maxKeys = 10;
    await host.change({ addresses: ["10.0.0.1"] });
    for (let i = 0; i < 7; i++) host.listening.setPassword(`10.9.0.${i}`, "secret");
    assert.deepEqual(host.rooms, []);
    for (let i = 7; i < 10; i++) host.listening.setPassword(`10.9.0.${i}`, "secret");
    assert.deepEqual(
      host.rooms.map(({ keys, room }) => [keys, room]),
      [[8, 10]],
      "once, at 80 %",
    );
    assert.throws(() => host.listening.setPassword("10.9.0.10", "secret"), { code: "PasswordRoom" });
    host.listening.setPassword("10.9.0.1", "changed");
    assert.equal(host.keys.get("10.0.0.1:179")?.get("10.9.0.1"), "changed");
    assert.equal(host.keys.get("10.0.0.1:179")?.size, 10);
  });

  it("does not open a place whose keys do not fit", async () => {
    const host = new Host();
    host.maxKeys = 1;
    host.listening.setPassword("10.9.0.1", "secret");
    host.listening.setPassword("10.9.0.2", "secret");
    await assert.rejects(host.change({ addresses: ["10.0.0.1"] }), { code: "PasswordRoom" });
    assert.deepEqual(host.open, []);
  });
});
