/** `calctl lab play`: recorded states of clusters, with real packets. */

import process from "node:process";
import { Command, Option } from "commander";
import type { LabContext } from "../command.ts";
import type { Lab } from "../lab.ts";
import { LAB_DATAPLANES, type LabDataplane, LabError, LabErrorCode } from "../state.ts";
import { chooseCases, readCases } from "./cases.ts";
import { type Played, Player } from "./player.ts";

interface PlayOptions {
  readonly case?: string;
  readonly dataplane?: LabDataplane;
  readonly hosts: number;
  readonly output: "table" | "json";
}

export function playCommand(context: LabContext, openLab: () => Lab): Command {
  return new Command("play")
    .description("play recorded states of clusters: policies, pods, and a packet for every probe")
    .argument("<file>", "states in JSON, one or a list: {name, namespaces, pods, objects, probes}")
    .option("--case <name>", "the state or the test of this name, or all whose names hold this text")
    .addOption(
      new Option("--dataplane <kind>", "default: what the configuration says").choices(LAB_DATAPLANES),
    )
    .addOption(new Option("--hosts <n>", "of the lab, where none is up").argParser(Number).default(2))
    .addOption(
      new Option("-o, --output <format>", "json: one line for each state")
        .choices(["table", "json"])
        .default("table"),
    )
    .addHelpText(
      "after",
      `
Plays in the lab that is up under this name, or in one that is there for the time being. Exit code 1 when anything
fared otherwise than the file expects.`,
    )
    .action(async (file: string, options: PlayOptions) => {
      const cases = chooseCases(readCases(file), options.case);
      const say =
        options.output === "json"
          ? (played: Played) => context.stdout.write(`${JSON.stringify(played)}\n`)
          : (played: Played) => context.stdout.write(`${describe(played)}\n`);
      await inLab(openLab(), options, async player => {
        for (const each of cases) {
          const played = await player.play(each);
          say(played);
          if (played.different.length > 0) process.exitCode = 1;
        }
      });
    });
}

/** An interrupted lab of ours goes as one that ends by itself does. */
async function inLab(lab: Lab, options: PlayOptions, work: (player: Player) => Promise<void>): Promise<void> {
  const { dataplane, hosts } = options;
  const isOurs = !lab.state.exists;
  if (isOurs) await lab.up({ hosts, ...(dataplane && { dataplane }) });
  else if (dataplane && lab.record.dataplane !== dataplane)
    throw new LabError(
      LabErrorCode.InvalidInput,
      `lab "${lab.name}" is up without --dataplane ${dataplane}; end it, or play in another (--name)`,
    );
  const end = async () => {
    if (isOurs) await lab.down();
  };
  const interrupted = () => void end().finally(() => process.exit(130));
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    const player = await Player.open(lab);
    try {
      await work(player);
    } finally {
      await player.close();
    }
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    await end();
    await lab.close();
  }
}

function describe({ name, probes, different }: Played): string {
  const lines = different.map(
    ({ from, to, port, protocol, expect, observed }) =>
      `    ${from} -> ${to} ${protocol}/${port}: ${observed}, expected ${expect}`,
  );
  return [
    `${different.length === 0 ? "as expected" : "DIFFERENT  "}  ${probes} probes  ${name}`,
    ...lines,
  ].join("\n");
}
