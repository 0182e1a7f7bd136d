import type { Command } from "commander";
import { IpAllocator } from "../../../ipam/allocator.ts";
import { isIpamError } from "../../../ipam/errors.ts";
import {
  type BorrowedAddress,
  borrowedAddresses,
  configurationRows,
  type UsageRow,
  usageRows,
} from "../../../ipam/inspect.ts";
import { takeSnapshot } from "../../../ipam/snapshot.ts";
import type { Context } from "../../context.ts";
import { config, type DatastoreOptions, examples, newCommand, output } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { borderedTable } from "../../output/table.ts";
import { withConnection } from "../../session.ts";
import { parseAddress } from "./address.ts";

interface Options extends DatastoreOptions {
  readonly ip?: string;
  readonly showBlocks?: true;
  readonly showBorrowed?: true;
  readonly showConfiguration?: true;
  readonly output: string;
}

export function showCommand(context: Context): Command {
  const command = newCommand("show", "Show how much of the pools is used, and by whom.")
    .option("--ip <address>", "what is known of this address")
    .option("--show-blocks", "the blocks of each pool too")
    .option("--show-borrowed", "addresses used on other hosts than their blocks'")
    .option("--show-configuration", "the settings of the allocator")
    .addOption(output("table", "table or json").choices(["table", "json"]))
    .addOption(config())
    .action(async (options: Options) => {
      const text = await withConnection(context, options, async ({ datastore }) => {
        const json = options.output === "json";
        if (options.ip !== undefined) return showAddress(new IpAllocator(datastore), options.ip, json);
        const snapshot = await takeSnapshot(datastore, context.clock.now());
        if (options.showConfiguration) {
          const rows = configurationRows(snapshot);
          if (json) return jsonText(Object.fromEntries(rows.map(({ property, value }) => [property, value])));
          return borderedTable(
            ["PROPERTY", "VALUE"],
            rows.map(({ property, value }) => [property, value]),
          );
        }
        if (options.showBorrowed) {
          const borrowed = borrowedAddresses(snapshot);
          return json ? jsonText(borrowed) : borrowedTable(borrowed);
        }
        const rows = usageRows(snapshot, { blocks: options.showBlocks ?? false });
        return json ? jsonText(rows) : usageTable(rows);
      });
      context.stdout.write(text);
    });
  return examples(command, [
    ["How full the pools are.", "calctl ipam show"],
    ["And their blocks.", "calctl ipam show --show-blocks"],
    ["Whose address this is.", "calctl ipam show --ip 192.168.9.1"],
  ]);
}

async function showAddress(allocator: IpAllocator, text: string, json: boolean): Promise<string> {
  const ip = parseAddress(text);
  const assignment = await allocator.attributesOf(ip).catch(error => {
    if (isIpamError(error, "NOT_ASSIGNED")) return undefined;
    throw error;
  });
  if (json) return jsonText({ ip, inUse: assignment !== undefined, ...assignment });
  if (!assignment) return `IP ${ip} is not assigned\n`;
  const { attributes, handle, block, affinity } = assignment;
  const lines = Object.entries({ ...attributes, handle, block, affinity: affinity ?? "none" }).filter(
    ([, value]) => value !== undefined,
  );
  return `IP ${ip} is in use\nAttributes:\n${lines.map(([name, value]) => `  ${name}: ${value}\n`).join("")}`;
}

function usageTable(rows: readonly UsageRow[]): string {
  const numbers = ["IPS TOTAL"];
  return borderedTable(
    ["GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS RESERVED", "IPS FREE"],
    rows.map(({ grouping, cidr, total, inUse, reserved, free }) => [
      grouping,
      cidr,
      short(total),
      share(inUse, total),
      share(reserved, total),
      share(free, total),
    ]),
    numbers,
  );
}

function borrowedTable(rows: readonly BorrowedAddress[]): string {
  return borderedTable(
    ["IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO"],
    rows.map(row => [row.ip, row.borrower, row.block, row.blockOwner, row.type, row.allocatedTo]),
  );
}

/** `5 (8%)` */
function share(part: bigint, total: bigint): string {
  const percent = total === 0n ? 0 : (Number(part) / Number(total)) * 100;
  return `${short(part)} (${percent.toFixed(0)}%)`;
}

/** Five digits, as Go's `%.5g`: an IPv6 pool has more addresses than anyone wants to count digits of. */
function short(count: bigint): string {
  if (count < 100_000n) return String(count);
  const [digits, exponent] = Number(count).toExponential(4).split("e+");
  return `${digits!.replace(/\.?0+$/, "")}e+${exponent!.padStart(2, "0")}`;
}
