/** A VXLAN packet that somebody made by hand, to get into another host's tunnel, and who sends and hears such things. */

import { once } from "node:events";
import process from "node:process";
import { vxlanMac } from "../../felix/calc/overlay/node-view.ts";
import { type Ip, ipToBytes } from "../../net/ip.ts";
import { macToBytes } from "../../net/mac.ts";
import type { TestLab } from "./test-lab.ts";

const VNI = 4096;

/** A datagram from one workload to another, as the node of the latter takes it out of its tunnel. */
export function forgedVxlan(inner: {
  readonly from: Ip;
  readonly to: Ip;
  readonly port: number;
  readonly node: string;
}): Buffer {
  const payload = Buffer.from("forged");
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(4000, 0);
  udp.writeUInt16BE(inner.port, 2);
  udp.writeUInt16BE(udp.length + payload.length, 4); // no checksum: allowed over IPv4
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(header.length + udp.length + payload.length, 2);
  header.writeUInt8(64, 8);
  header.writeUInt8(17, 9);
  header.set(ipToBytes(inner.from), 12);
  header.set(ipToBytes(inner.to), 16);
  let sum = 0;
  for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  header.writeUInt16BE(~sum & 0xffff, 10);
  const ethernet = Buffer.from([...macToBytes(vxlanMac(inner.node)), 2, 0, 0, 0, 0, 9, 0x08, 0x00]);
  const vxlan = Buffer.from([0x08, 0, 0, 0, VNI >>> 16, (VNI >>> 8) & 0xff, VNI & 0xff, 0]);
  return Buffer.concat([vxlan, ethernet, header, udp, payload]);
}

/** From a host or workload, ten times. */
export async function send(lab: TestLab, from: string, to: Ip, port: number, packet: Buffer): Promise<void> {
  const script = `
    const socket = require("node:dgram").createSocket("udp4");
    let left = 10;
    const next = () => left-- > 0
      ? socket.send(Buffer.from("${packet.toString("hex")}", "hex"), ${port}, "${to}", () => setTimeout(next, 5))
      : socket.close();
    next();`;
  await once(lab.exec(from, [process.execPath, "-e", script], { stdio: "ignore" }), "close");
}

/** Counts datagrams that arrive in a workload. */
export async function listen(lab: TestLab, workload: string, port: number) {
  const script = `
    const socket = require("node:dgram").createSocket("udp4");
    socket.on("message", message => console.log(String(message)));
    socket.bind(${port}, () => console.log("ready"));`;
  const child = lab.exec(workload, [process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.on("data", chunk => {
    output += chunk;
  });
  await once(child.stdout!, "data");
  return {
    heard: () => output.split("\n").filter(line => line === "forged").length,
    stop: async () => {
      const ended = once(child, "close");
      child.kill();
      await ended;
    },
  };
}
