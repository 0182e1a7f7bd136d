/** `calctl node`: what is done on a host about the host. What makes it a node is the room `node`'s. */

import type { Command } from "commander";
import { nodeCommand as hostCommand } from "../../../node/command.ts";
import type { Context } from "../../context.ts";
import { statusCommand } from "./status.ts";

export function nodeCommand(context: Context): Command {
  return hostCommand(context).addCommand(statusCommand(context));
}
