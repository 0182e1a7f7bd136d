import { type Command, Option } from "commander";
import { parse as parseYaml } from "yaml";
import type { Context } from "../context.ts";
import { editResource } from "../edit.ts";
import { CommandError } from "../errors.ts";
import { refusal, resolveKind, resolveName } from "../kinds.ts";
import {
  type DatastoreOptions,
  examples,
  type NamespaceOptions,
  newCommand,
  withDatastore,
} from "../options.ts";
import { PatchError } from "../patch/error.ts";
import { jsonPatch } from "../patch/json-patch.ts";
import { mergePatch } from "../patch/merge.ts";
import { strategicMergePatch } from "../patch/strategic.ts";
import { withConnection } from "../session.ts";

const TYPES = { strategic: strategicMergePatch, json: jsonPatch, merge: mergePatch };

interface Options extends NamespaceOptions, DatastoreOptions {
  readonly patch: string;
  readonly type: keyof typeof TYPES;
}

export function patchCommand(context: Context): Command {
  const command = withDatastore(
    newCommand("patch", "Change fields of a resource.")
      .argument("<kind>", "a kind, its plural or an alias")
      .argument("<name>", "its name")
      .requiredOption("-p, --patch <patch>", "the patch, as JSON or YAML")
      .addOption(
        new Option(
          "-t, --type <type>",
          "how to read the patch: Kubernetes' strategic merge, RFC 6902, RFC 7396",
        )
          .choices(Object.keys(TYPES))
          .default("strategic"),
      ),
  ).action(async (kindWord: string, word: string, options: Options) => {
    const kind = resolveKind(kindWord);
    const name = resolveName(kind, word);
    const refused = refusal("patch", kind, name);
    if (refused !== undefined) throw new CommandError("NOT_ALLOWED", refused);
    const patch = readPatch(options);
    await withConnection(context, options, connection =>
      editResource(connection, { kind, name, namespace: options.namespace }, resource =>
        TYPES[options.type](resource, patch),
      ),
    );
    context.stdout.write(`Successfully patched 1 '${kind}' resource\n`);
  });
  return examples(command, [
    [
      "Let a node peer with a route reflector's cluster.",
      `calctl patch node node1 -p '{"spec":{"bgp":{"routeReflectorClusterID":"244.0.0.1"}}}'`,
    ],
    [
      "The same as a JSON patch.",
      `calctl patch node node1 -t json \\\n  -p '[{"op":"add","path":"/spec/bgp/routeReflectorClusterID","value":"244.0.0.1"}]'`,
    ],
  ]);
}

function readPatch({ patch, type }: Options): unknown {
  let value: unknown;
  try {
    value = parseYaml(patch);
  } catch (error) {
    throw new PatchError((error as Error).message.split("\n")[0]!);
  }
  const isList = Array.isArray(value);
  if (type === "json" ? !isList : isList || typeof value !== "object" || value === null)
    throw new PatchError(
      type === "json" ? "a JSON patch is a list of operations" : `a ${type} patch is a mapping of fields`,
    );
  return value;
}
