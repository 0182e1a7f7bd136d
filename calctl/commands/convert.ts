import type { Command } from "commander";
import type { Context } from "../context.ts";
import { config, examples, type FileOptions, newCommand, output, withFiles } from "../options.ts";
import { noResources } from "../outcome.ts";
import { jsonText } from "../output/json.ts";
import { yamlText } from "../output/render.ts";

interface Options extends FileOptions {
  readonly output: string;
  readonly ignoreValidation?: true;
}

export function convertCommand(context: Context): Command {
  const command = withFiles(
    newCommand(
      "convert",
      "Turn Calico v1 documents and Kubernetes' policies, also those of the whole cluster, into projectcalico.org/v3 and print them. Needs no datastore.",
    ),
  )
    .addOption(output("yaml", "yaml or json").choices(["yaml", "json"]))
    .option(
      "--ignore-validation",
      "print results that are not valid, or that miss what could not be converted",
    )
    .addOption(config().hideHelp())
    .action(async (options: Options) => {
      const { convertDocuments } = await import("../documents/conversion.ts");
      const { problemText } = await import("../../input/problem.ts");
      const converted = await convertDocuments(context, options);
      if (converted.length === 0) return noResources(context);
      for (const { warnings } of converted)
        for (const warning of warnings) context.stderr.write(`warning: ${problemText(warning)}\n`);
      const resources = converted.map(({ resource }) => resource);
      const document =
        resources.length === 1
          ? resources[0]
          : { kind: "List", apiVersion: "projectcalico.org/v3", items: resources };
      context.stdout.write(options.output === "json" ? jsonText(document) : await yamlText(document));
    });
  return examples(command, [
    ["See what old files mean today.", "calctl convert -f web.yml"],
    ["Convert a tree into one file.", "calctl convert -R -f ./v1 > v3.yaml"],
  ]);
}
