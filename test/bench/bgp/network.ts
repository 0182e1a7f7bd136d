/** Two namespaces and a cable: the device at 10.99.0.1, its clients from 10.99.1.1 on. Nothing leaves them. */

import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createNamespace, deleteNamespace, inNamespace } from "../../../linux/namespace.ts";
import { Rtnetlink } from "../../../linux/rtnetlink.ts";
import { ip } from "../../../net/ip.ts";
import { addressText, clientAddress, DEVICE_ADDRESS } from "./load.ts";

const PREFIX_LENGTH = 16;
/** More SYNs at the same instant than the usual queue of 4096 or less would keep; the device's own backlog counts then. */
const SYSCTLS = { "net/core/somaxconn": 4096, "net/ipv4/tcp_max_syn_backlog": 4096 };

export class BenchNetwork {
  readonly device: string;
  readonly clients: string;

  constructor(name: string, clients: number) {
    this.device = `${name}d`;
    this.clients = `${name}c`;
    createNamespace(this.device);
    createNamespace(this.clients);
    using device = Rtnetlink.open({ namespace: this.device });
    using client = Rtnetlink.open({ namespace: this.clients });
    device.createVeth({ name: "v0", peerName: "v1", peerNamespace: this.clients });
    for (const [netlink, link] of [
      [device, "v0"],
      [client, "v1"],
    ] as const) {
      netlink.setLink("lo", { up: true });
      netlink.setLink(link, { up: true });
    }
    device.addAddress({
      interfaceIndex: device.getLink("v0")!.index,
      ip: ip(DEVICE_ADDRESS),
      prefixLength: PREFIX_LENGTH,
    });
    const interfaceIndex = client.getLink("v1")!.index;
    for (let i = 0; i < clients; i++)
      client.addAddress({
        interfaceIndex,
        ip: ip(addressText(clientAddress(i))),
        prefixLength: PREFIX_LENGTH,
      });
    for (const namespace of [this.device, this.clients])
      inNamespace(namespace, () => {
        for (const [name, value] of Object.entries(SYSCTLS))
          writeFileSync(`/proc/sys/${name}`, String(value));
      });
  }

  spawn(side: "device" | "clients", command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    return inNamespace(side === "device" ? this.device : this.clients, () =>
      spawn(command[0]!, command.slice(1), {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
  }

  remove(): void {
    deleteNamespace(this.device);
    deleteNamespace(this.clients);
  }
}
