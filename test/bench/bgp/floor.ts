/**
 * A device that does nothing: accepts every client, and passes on the UPDATEs of one to all others as they are, once per turn of the event loop. No routes, no
 * attributes looked at. What it takes is the price of sockets in Node and of the generator: nobody in Node can be faster.
 *
 *   node floor.ts ADDRESS PORT ASN HOLDTIME
 */

import { createServer, type Socket } from "node:net";
import process from "node:process";
import { Framing, KEEPALIVE, MessageType, open } from "./wire.ts";

const [address = "127.0.0.1", port = "179", asn = "64512", holdTime = "240"] = process.argv.slice(2);

interface Client {
  readonly socket: Socket;
  readonly framing: Framing;
  /** Of this turn. */
  readonly updates: Buffer[];
}

const clients = new Set<Client>();
let isScheduled = false;

function flush(): void {
  isScheduled = false;
  const senders = [...clients].filter(({ updates }) => updates.length > 0);
  const batches = new Map(senders.map(client => [client, Buffer.concat(client.updates.splice(0))]));
  const all = Buffer.concat([...batches.values()]);
  let offset = 0;
  const parts = new Map<Client, { start: number; end: number }>();
  for (const [client, bytes] of batches) {
    parts.set(client, { start: offset, end: offset + bytes.length });
    offset += bytes.length;
  }
  for (const client of clients) {
    const own = parts.get(client);
    if (own === undefined) client.socket.write(all);
    else {
      if (own.start > 0) client.socket.write(all.subarray(0, own.start));
      if (own.end < all.length) client.socket.write(all.subarray(own.end));
    }
  }
}

const server = createServer(socket => {
  const client: Client = { socket, framing: new Framing(), updates: [] };
  clients.add(client);
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("close", () => clients.delete(client));
  socket.on("data", chunk => {
    client.framing.read(chunk as Buffer, {
      onMessage(type, bytes, start, end) {
        if (type === MessageType.open)
          socket.write(Buffer.concat([open(Number(asn), Number(holdTime), 1), KEEPALIVE]));
        else if (type === MessageType.update)
          client.updates.push(Buffer.from(bytes.subarray(start - 19, end)));
      },
    });
    if (client.updates.length > 0 && !isScheduled) {
      isScheduled = true;
      setImmediate(flush);
    }
  });
});
server.listen({ host: address, port: Number(port), backlog: 1024 });
setInterval(
  () => {
    for (const { socket } of clients) socket.write(KEEPALIVE);
  },
  (Number(holdTime) * 1000) / 3,
).unref();
process.on("SIGTERM", () => process.exit(0));
