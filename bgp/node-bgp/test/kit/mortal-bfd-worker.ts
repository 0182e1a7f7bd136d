/** The BFD thread, which dies of an exception once the file named by BFD_TEST_DIE exists; the one that follows it finds no such file. */

import { existsSync, rmSync } from "node:fs";

const order = process.env["BFD_TEST_DIE"]!;
const now = performance.now.bind(performance);
performance.now = () => {
  if (existsSync(order)) {
    rmSync(order);
    throw new Error("killed by the test");
  }
  return now();
};

await import("../../bfd/worker.ts");
