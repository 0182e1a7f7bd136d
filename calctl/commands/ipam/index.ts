import { Command } from "commander";
import type { Context } from "../../context.ts";
import { checkCommand } from "./check.ts";
import { configureCommand } from "./configure.ts";
import { releaseCommand } from "./release.ts";
import { showCommand } from "./show.ts";
import { splitCommand } from "./split.ts";

export function ipamCommand(context: Context): Command {
  const ipam = new Command("ipam").description(
    "Look at addresses and what holds them, and put right what is wrong.",
  );
  for (const command of [showCommand, checkCommand, releaseCommand, splitCommand, configureCommand])
    ipam.addCommand(command(context));
  return ipam;
}
