/**
 * exabgp as a peer that says exactly what a test wants, right or wrong: it keeps the session, and sends the UPDATE bodies it is given
 * byte for byte (exabgp-raw.py). It waits to be dialled, so that a session that was reset is back at once.
 */

import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream, type WriteStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Cable, exited } from "./namespaces.ts";

export interface ExaBgpOptions {
  readonly asn: number;
  /** Of the speaker under test, which is 10.99.0.1. */
  readonly peerAsn: number;
  readonly fourOctetAs?: boolean;
}

/** A NOTIFICATION exabgp was sent. */
export interface SeenNotification {
  readonly code: number;
  readonly subcode: number;
}

export class ExaBgp {
  readonly #child: ChildProcess;
  readonly #commands: WriteStream;
  readonly notifications: SeenNotification[] = [];
  readonly log: string[] = [];
  #sent = 0;

  /** In the right namespace of the cable, at 10.99.0.2. */
  constructor(cable: Cable, { asn, peerAsn, fourOctetAs = true }: ExaBgpOptions) {
    const path = (name: string) => join(cable.folder, name);
    for (const pipe of ["commands", "events"]) execFileSync("mkfifo", [path(pipe)]);
    // A shell gives what it starts in the background no stdin of its own accord.
    writeFileSync(
      path("relay.sh"),
      `#!/bin/sh\nexec 3<&0; cat <&3 > ${path("events")} &\nexec cat ${path("commands")}\n`,
      {
        mode: 0o755,
      },
    );
    writeFileSync(
      path("exabgp.conf"),
      `process scripted { run ${path("relay.sh")}; encoder json; }
neighbor 10.99.0.1 {
  router-id 10.99.0.2; local-address 10.99.0.2; local-as ${asn}; peer-as ${peerAsn}; passive true;
  family { ipv4 unicast; ipv6 unicast; }
  capability { asn4 ${fourOctetAs ? "enable" : "disable"}; }
  api { processes [ scripted ]; neighbor-changes; }
}
`,
    );
    const env = {
      "exabgp.daemon.user": "root",
      "exabgp.daemon.drop": "false",
      "exabgp.tcp.bind": "10.99.0.2",
      "exabgp.api.ack": "false",
      "exabgp.api.cli": "false",
      "exabgp.log.level": "WARNING",
    };
    const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const program = join(import.meta.dirname, "exabgp-raw.py");
    this.#child = cable.spawn(cable.right, "env", [
      ...settings,
      "/usr/bin/python3",
      program,
      path("exabgp.conf"),
    ]);
    createInterface({ input: this.#child.stdout! }).on("line", line => this.log.push(line));
    createInterface({ input: createReadStream(path("events")) }).on("line", line => this.#hear(line));
    this.#commands = createWriteStream(path("commands"));
  }

  /** UPDATE bodies, in this order. */
  send(...bodies: Uint8Array[]): void {
    const framed = bodies.flatMap(body => [Buffer.from([body.length >> 8, body.length & 0xff]), body]);
    const hex = Buffer.concat(framed).toString("hex");
    // exabgp sends a route it has not sent before: each carrier is another one.
    const carrier = this.#sent++;
    this.#commands.write(
      `announce route 10.250.${carrier >> 8}.${carrier & 0xff}/32 next-hop 10.99.0.2 attribute [ 0xfe 0xc0 0x${hex} ]\n`,
    );
  }

  async stop(): Promise<void> {
    this.#commands.destroy();
    this.#child.kill("SIGKILL");
    await exited(this.#child);
  }

  /** Not parsed: exabgp puts the NOTIFICATION's data into its JSON as it is. */
  #hear(line: string): void {
    this.log.push(line);
    const [, code, subcode] = /notification received \((\d+),(\d+)\)/.exec(line) ?? [];
    if (code !== undefined) this.notifications.push({ code: Number(code), subcode: Number(subcode) });
  }
}
