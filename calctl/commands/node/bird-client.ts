/** `show protocols` on a BIRD 1.6 control socket, read strictly: codes, runs, the end. */

import { connect } from "node:net";

export interface BirdProtocol {
  readonly name: string;
  readonly proto: string;
  readonly table: string;
  readonly state: string;
  readonly since: string;
  readonly info: string;
}

const TIMEOUT_MS = 2000;

/** Undefined where nobody answers, or not in that protocol. */
export function askBird(path: string): Promise<BirdProtocol[] | undefined> {
  return new Promise(resolve => {
    const socket = connect(path);
    let text = "";
    const finish = (protocols: BirdProtocol[] | undefined) => {
      resolve(protocols);
      socket.destroy();
    };
    socket.setEncoding("utf8").setTimeout(TIMEOUT_MS, () => finish(undefined));
    socket.on("error", () => finish(undefined)).on("close", () => finish(undefined));
    socket.write("show protocols\n");
    socket.on("data", chunk => {
      text += chunk;
      if (!/^\d{4} .*\n/m.test(text.replace(/^0001 .*\n/, ""))) return;
      finish(parseProtocols(text));
    });
  });
}

/** Undefined where the text is not a greeting and one complete answer. */
export function parseProtocols(text: string): BirdProtocol[] | undefined {
  const lines = text.split("\n");
  if (!/^0001 BIRD .* ready\.$/.test(lines[0]!)) return undefined;
  const protocols: BirdProtocol[] = [];
  let code = "";
  for (const line of lines.slice(1)) {
    const [, ownCode, mark, words = ""] = /^(?:(\d{4})([ -])| )(.*)$/.exec(line) ?? [];
    code = ownCode ?? code;
    if (mark === " ") return code === "0000" ? protocols : undefined;
    if (code === "1002") {
      const [name = "", proto = "", table = "", state = "", since = "", ...info] = words.trim().split(/\s+/);
      protocols.push({ name, proto, table, state, since, info: info.join(" ") });
    } else if (code !== "2002" && code !== "1006") return undefined;
  }
  return undefined;
}
