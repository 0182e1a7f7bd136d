/** A BFD thread without sockets: it says what it is told, as the state of a session would be said, and ends when asked to or at the first session named 192.0.2.66. */

import { parentPort, workerData } from "node:worker_threads";
import { SessionState } from "../../bfd/constants.ts";
import type { Command, Notice, WorkerData } from "../../bfd/worker-protocol.ts";

const { port } = workerData as WorkerData;
const tell = (notice: Notice) => parentPort!.postMessage(notice);

port.on("message", (command: Command) => {
  switch (command.do) {
    case "close":
      port.close();
      break;
    case "remove":
      tell({ tell: "removed", id: command.id });
      break;
    case "add": {
      if (command.path.address === "192.0.2.66") throw new Error("I do not like this one");
      const { down, up } = SessionState;
      const { id } = command;
      tell({
        ...{ tell: "state", id, state: up, previous: down, cause: "handshake" },
        ...{ diagnostic: 0, remoteDiagnostic: 0, at: 1 },
      });
    }
  }
});
