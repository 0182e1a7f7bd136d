/**
 * Puts this thread, and so every socket and process it makes from now on, into a network namespace. Namespaces belong to threads and all our JavaScript is on one, so
 * a test can hold its speakers as objects and still have them on a network of their own.
 */

import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";

const CLONE_NEWNET = 0x40000000;

/** Returns the way back. */
export function enterNamespace(name: string): () => void {
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(`/run/netns/${name}`, "r");
  setns(there);
  closeSync(there);
  return () => {
    setns(home);
    closeSync(home);
  };
}

function setns(descriptor: number): void {
  const koffi = createRequire(import.meta.url)("koffi");
  const call = koffi.load(null).func("int setns(int fd, int type)");
  if (call(descriptor, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
}
