/**
 * Lets the hosts of a lab reach a server on the machine's loopback: listens inside a namespace, connects outside.
 *
 *   node lab/relay.ts NAMESPACE ADDRESS PORT LOOPBACK-PORT
 */

import { connect, createServer } from "node:net";
import process from "node:process";
import { openStreamListener } from "../linux/stream-socket.ts";
import { ip } from "../net/ip.ts";

const [namespace = "", address = "", port = "", target = ""] = process.argv.slice(2);
const fd = openStreamListener({ ip: ip(address), port: Number(port), namespace });
createServer(inside => {
  const outside = connect(Number(target), "127.0.0.1");
  inside.pipe(outside);
  outside.pipe(inside);
  inside.on("error", () => outside.destroy());
  outside.on("error", () => inside.destroy());
  inside.on("close", () => outside.destroy());
  outside.on("close", () => inside.destroy());
}).listen({ fd });
