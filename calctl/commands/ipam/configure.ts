import { type Command, InvalidArgumentError, Option } from "commander";
import { IpAllocator } from "../../../ipam/allocator.ts";
import type { IpamConfig } from "../../../ipam/records.ts";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { config, count, type DatastoreOptions, examples, newCommand } from "../../options.ts";
import { withConnection } from "../../session.ts";

interface Options extends DatastoreOptions {
  readonly strictaffinity?: boolean;
  readonly maxBlocksPerHost?: number;
  readonly ipCooldownSeconds?: number;
  readonly kubevirtIpPersistence?: "Enabled" | "Disabled";
}

export function configureCommand(context: Context): Command {
  const command = newCommand("configure", "Change the settings of the allocator, for all hosts.")
    .addOption(
      new Option(
        "--strictaffinity <true|false>",
        "hosts take addresses from their own blocks only",
      ).argParser(truth),
    )
    .addOption(
      new Option(
        "--max-blocks-per-host <count>",
        "blocks a host may own; 0 for the default of 20; needs strict affinity",
      ).argParser(count),
    )
    .addOption(
      new Option("--ip-cooldown-seconds <count>", "how long a released address rests, 0 to 1200").argParser(
        count,
      ),
    )
    .addOption(
      new Option(
        "--kubevirt-ip-persistence <Enabled|Disabled>",
        "whether KubeVirt machines keep their address over restarts",
      ).choices(["Enabled", "Disabled"]),
    )
    .addOption(config())
    .action(async (options: Options) => {
      const change: Partial<Record<keyof IpamConfig, boolean | number | string>> = {
        ...(options.strictaffinity === undefined ? {} : { strictAffinity: options.strictaffinity }),
        ...(options.maxBlocksPerHost === undefined ? {} : { maxBlocksPerHost: options.maxBlocksPerHost }),
        ...(options.ipCooldownSeconds === undefined ? {} : { ipCooldownSeconds: options.ipCooldownSeconds }),
        ...(options.kubevirtIpPersistence === undefined
          ? {}
          : { kubeVirtVMAddressPersistence: options.kubevirtIpPersistence }),
      };
      if (Object.keys(change).length === 0)
        throw new CommandError(
          "USAGE",
          "nothing to configure; give --strictaffinity, --max-blocks-per-host, --ip-cooldown-seconds or --kubevirt-ip-persistence",
        );
      await withConnection(context, options, ({ datastore }) =>
        new IpAllocator(datastore, { clock: context.clock }).setConfig(
          change as Partial<Omit<IpamConfig, "extra">>,
        ),
      );
      for (const [property, value] of Object.entries(change))
        context.stdout.write(
          `Successfully set ${property[0]!.toUpperCase()}${property.slice(1)} to: ${value}\n`,
        );
    });
  return examples(command, [
    ["No host takes addresses of another host's block.", "calctl ipam configure --strictaffinity=true"],
    ["Released addresses rest for a minute.", "calctl ipam configure --ip-cooldown-seconds=60"],
  ]);
}

function truth(value: string): boolean {
  if (value !== "true" && value !== "false") throw new InvalidArgumentError("expected true or false");
  return value === "true";
}
