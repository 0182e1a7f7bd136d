/**
 * `node test/bench/overlay.ts [NODES...]`: routes and tunnel ends of a cluster with ten blocks a node: calculated at the start, and then
 * by a block that changes and by a node that moves. The last two must not grow with the cluster.
 */

import process from "node:process";

import { cidr, nthAddress } from "../../net/cidr.ts";
import { block, Calculation, node, type Update, vxlanPool } from "../unit/felix/calc/overlay/records.ts";

const BLOCKS = 10;
const CHANGES = 1000;
const POOL = cidr("10.0.0.0/8");
const UNDERLAY = cidr("172.16.0.0/12");

const blockOf = (index: number) => `${nthAddress(POOL, index * 64)}/26`;

function* cluster(nodes: number): Generator<Update> {
  yield vxlanPool(POOL);
  for (let i = 0; i < nodes; i++) {
    const vxlan = nthAddress(POOL, i * BLOCKS * 64);
    yield node(`node${i}`, { v4: `${nthAddress(UNDERLAY, i)}/24`, vxlan });
    for (let j = 0; j < BLOCKS; j++) yield block(blockOf(i * BLOCKS + j), `node${i}`);
  }
}

function milliseconds(work: () => void): number {
  const begun = performance.now();
  work();
  return performance.now() - begun;
}

const sizes = process.argv.slice(2).map(Number);
const rows = [];
for (const nodes of sizes.length > 0 ? sizes : [100, 1000, 5000]) {
  const updates = [...cluster(nodes)];
  const calculation = new Calculation();
  const start = milliseconds(() => calculation.apply(...updates));
  const changes = Array.from({ length: CHANGES }, (_, i) => {
    const range = blockOf((i * 7919) % (nodes * BLOCKS));
    const lent = nthAddress(cidr(range), 1 + (i % 60));
    const update = block(range, `node${Math.floor(((i * 7919) % (nodes * BLOCKS)) / BLOCKS)}`, {
      [lent]: "node1",
    });
    return milliseconds(() => calculation.apply(update));
  }).sort((a, b) => a - b);
  const moved = node("node2", { v4: "192.0.2.1/24", vxlan: nthAddress(POOL, 2 * BLOCKS * 64) });
  rows.push({
    nodes,
    blocks: nodes * BLOCKS,
    routes: calculation.routes.size,
    "start ms": Math.round(start),
    "block p50 ms": Number(changes[CHANGES / 2]!.toFixed(3)),
    "block p99 ms": Number(changes[Math.floor(CHANGES * 0.99)]!.toFixed(3)),
    "node moves ms": Number(milliseconds(() => calculation.apply(moved)).toFixed(2)),
  });
}
const columns = Object.keys(rows[0] as object) as (keyof (typeof rows)[number])[];
const line = (cells: readonly unknown[]) =>
  process.stdout.write(`${cells.map(cell => String(cell).padStart(14)).join("")}\n`);
line(columns);
for (const row of rows) line(columns.map(column => row[column]));
process.stdout.write(`${JSON.stringify({ benchmark: "overlay", rows })}\n`);
