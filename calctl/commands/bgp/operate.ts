import { type Command, Option } from "commander";
import type { Context } from "../../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../../daemon-socket.ts";
import { examples, newCommand } from "../../options.ts";

interface RefreshOptions extends SocketOptions {
  readonly in?: true;
  readonly out?: true;
}

export function refreshCommand(context: Context): Command {
  const command = newCommand(
    "refresh",
    "Go through the routes of a neighbor again, without resetting its session.",
  )
    .argument("<address>", "a neighbor, or all")
    .option("--in", "only in: ask for its routes again (RFC 2918) and apply the import policy")
    .option("--out", "only out: apply the export policy again and send what it changes")
    .addOption(socket("bgp"))
    .action(async (neighbor: string, options: RefreshOptions) => {
      const direction = options.in === options.out ? "both" : options.in ? "in" : "out";
      await operate(context, options, "refresh", { neighbor, direction }, "Refreshed");
    });
  return examples(command, [
    ["Both ways.", "calctl bgp refresh 192.0.2.1"],
    ["Every neighbor, what we take of it.", "calctl bgp refresh all --in"],
  ]);
}

interface ResetOptions extends SocketOptions {
  readonly message?: string;
}

export function resetCommand(context: Context): Command {
  const command = newCommand(
    "reset",
    "End the session with a neighbor (Cease/Administrative Reset); it comes back by itself.",
  )
    .argument("<address>", "a neighbor, or all")
    .addOption(new Option("-m, --message <text>", "tell the neighbor's operator why (RFC 9003)"))
    .addOption(socket("bgp"))
    .action(async (neighbor: string, options: ResetOptions) => {
      await operate(context, options, "reset", { neighbor, message: options.message }, "Reset");
    });
  return examples(command, [["One neighbor.", 'calctl bgp reset 192.0.2.1 -m "new key"']]);
}

interface ShutdownOptions extends SocketOptions {
  readonly undo?: true;
}

export function shutdownGracefullyCommand(context: Context): Command {
  const command = newCommand(
    "shutdown-gracefully",
    "Move traffic away from a neighbor before its session is shut down (RFC 8326): what it is sent carries GRACEFUL_SHUTDOWN, what it sent gets LOCAL_PREF 0. Until --undo or the end of the daemon.",
  )
    .argument("<address>", "a neighbor, or all")
    .option("--undo", "back to normal")
    .addOption(socket("bgp"))
    .action(async (neighbor: string, options: ShutdownOptions) => {
      const done = options.undo ? "Back to normal:" : "Moving traffic away from";
      await operate(context, options, "shutdown-gracefully", { neighbor, on: String(!options.undo) }, done);
    });
  return examples(command, [
    ["Before maintenance of the whole node.", "calctl bgp shutdown-gracefully all"],
    ["After it.", "calctl bgp shutdown-gracefully all --undo"],
  ]);
}

async function operate(
  context: Context,
  options: SocketOptions,
  what: string,
  parameters: Readonly<Record<string, string | undefined>>,
  done: string,
): Promise<void> {
  const daemon = new DaemonSocket(context, "bgp", options);
  const { neighbors } = await daemon.ask<{ neighbors: string[] }>(`/bgp/${what}`, parameters, "POST");
  context.stdout.write(
    neighbors.length === 1 ? `${done} ${neighbors[0]}\n` : `${done} ${neighbors.length} neighbors\n`,
  );
}
