/** How many bytes per second TCP carries from one namespace to another: a source and a sink, each a process of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";

const SINK = `
  let skipped, bytes = 0;
  require("node:net").createServer(socket => {
    const begun = performance.now();
    let last = begun;
    socket.on("data", data => {
      last = performance.now();
      // The burst and the start of TCP say nothing of the rate.
      if (last - begun < 200) return;
      if (skipped === undefined) { skipped = last; return; }
      bytes += data.length;
    });
    socket.on("end", () => { console.log(bytes / ((last - skipped) / 1000)); process.exit(); });
  }).listen(PORT, () => console.log("ready"));`;

const SOURCE = `
  const socket = require("node:net").connect(PORT, "ADDRESS", () => {
    const data = Buffer.alloc(65536);
    const write = () => { while (socket.write(data)); };
    socket.on("drain", write);
    write();
    setTimeout(() => { socket.removeListener("drain", write); socket.end(); }, 700);
  });
  socket.on("error", () => {});`;

export async function throughput(from: string, to: string, address: string): Promise<number> {
  const port = 5201;
  const run = (namespace: string, script: string) =>
    spawn("ip", ["netns", "exec", namespace, process.execPath, "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  const sink = run(to, SINK.replace("PORT", String(port)));
  let output = "";
  sink.stdout.on("data", chunk => {
    output += chunk;
  });
  await once(sink.stdout, "data");
  const source = run(from, SOURCE.replace("PORT", String(port)).replace("ADDRESS", address));
  await once(sink, "close");
  source.kill();
  return Number(output.split("\n")[1]);
}
