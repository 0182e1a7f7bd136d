import type { Command } from "commander";
import type { Context } from "../../context.ts";
import { socket } from "../../daemon-socket.ts";
import { config, examples, newCommand, output } from "../../options.ts";
import type { WhyOptions } from "./why.ts";

export function whyCommand(context: Context): Command {
  const command = newCommand(
    "why",
    "Say why a packet passes or not: the path of the decision through tiers, policies, rules and profiles at both ends, " +
      "for the live state, with the lines of each rule that matched, and whether this host's kernel has these rules and " +
      "how often they have matched.\n\n" +
      "Without --port and --protocol it says what is open between the two and what is not, and what decides.",
  )
    .argument("<from>", "a pod as namespace/name, a workload, a host, a host endpoint or an IP address")
    .argument("<to>", "the same")
    .option("-p, --port <port>", "the destination port, a number or the name the target gives it")
    .option("--protocol <protocol>", "TCP, UDP, SCTP, ICMP, ICMPv6 or a number (default: TCP)")
    .option("--source-port <port>", "where a rule asks for it")
    .addOption(output("text", "text or json").choices(["text", "json"]))
    .addOption(socket("felix"))
    .addOption(config())
    .action(async (from: string, to: string, options: WhyOptions) => {
      const { why } = await import("./why.ts");
      await why(context, from, to, options);
    });
  return examples(command, [
    ["Why web1 reaches db1, or not.", "calctl why web1 db1 --port 5432"],
    ["A ping from outside.", "calctl why 192.0.2.7 shop/web --protocol ICMP"],
    ["Everything between the two.", "calctl why shop/web shop/db"],
  ]);
}
