import { Command } from "commander";
import type { Context } from "../../context.ts";
import { explainCommand } from "./explain.ts";
import { neighborCommand } from "./neighbor.ts";
import { refreshCommand, resetCommand, shutdownGracefullyCommand } from "./operate.ts";
import { peersCommand } from "./peers.ts";
import { routesCommand } from "./routes.ts";

export function bgpCommand(context: Context): Command {
  const bgp = new Command("bgp").description(
    "Look into the BGP daemon of this host, and tell it what to do.",
  );
  for (const command of [
    peersCommand,
    neighborCommand,
    routesCommand,
    explainCommand,
    refreshCommand,
    resetCommand,
    shutdownGracefullyCommand,
  ])
    bgp.addCommand(command(context));
  return bgp;
}
