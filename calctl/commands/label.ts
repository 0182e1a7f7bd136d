import type { Command } from "commander";
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
import { withConnection } from "../session.ts";

interface Options extends NamespaceOptions, DatastoreOptions {
  readonly overwrite?: true;
  readonly remove?: true;
}

export function labelCommand(context: Context): Command {
  const command = withDatastore(
    newCommand("label", "Set or remove a label of a resource.")
      .argument("<kind>", "a kind, its plural or an alias")
      .argument("<name>", "its name")
      .argument("<label>", "key=value, or the key with --remove")
      .option("--overwrite", "change the value if the label is there with another one")
      .option("--remove", "remove the label"),
  ).action(async (kindWord: string, word: string, label: string, options: Options) => {
    const kind = resolveKind(kindWord);
    const name = resolveName(kind, word);
    const refused = refusal("label", kind, name);
    if (refused !== undefined) throw new CommandError("NOT_ALLOWED", refused);
    if (options.remove && options.overwrite)
      throw new CommandError("USAGE", "--remove and --overwrite exclude each other");
    const { key, value } = readLabel(label, options.remove ?? false);
    let did = "set label";
    await withConnection(context, options, connection =>
      editResource(connection, { kind, name, namespace: options.namespace }, resource => {
        const labels: Record<string, string> = { ...resource.metadata.labels };
        const existing = Object.hasOwn(labels, key) ? labels[key] : undefined;
        if (value === undefined) {
          if (existing === undefined)
            throw new CommandError(
              "FAILED",
              `cannot remove label ${key} of ${kind} ${name}: it has no such label`,
            );
          delete labels[key];
          did = "removed label";
        } else {
          if (existing !== undefined && existing !== value && !options.overwrite)
            throw new CommandError(
              "FAILED",
              `failed to update label of ${kind} ${name}: key ${key} is already present with value "${existing}"; use --overwrite to change it`,
            );
          did = existing === undefined ? "set label" : "updated label";
          labels[key] = value;
        }
        return { ...resource, metadata: { ...resource.metadata, labels } };
      }),
    );
    context.stdout.write(
      `Successfully ${did} ${key} ${value === undefined ? "from" : "on"} ${kind} ${name}\n`,
    );
  });
  return examples(command, [
    ["Label a node for selectors.", "calctl label node node1 rack=7"],
    ["Change the label.", "calctl label node node1 rack=8 --overwrite"],
    ["Remove it.", "calctl label node node1 rack --remove"],
  ]);
}

const PART = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const LONGEST = 63;

function readLabel(text: string, remove: boolean): { key: string; value: string | undefined } {
  const equals = text.indexOf("=");
  if (remove !== equals < 0)
    throw new CommandError(
      "USAGE",
      remove ? `--remove takes a key alone, not '${text}'` : `'${text}' is not a label; expected key=value`,
    );
  const key = remove ? text : text.slice(0, equals);
  const value = remove ? undefined : text.slice(equals + 1);
  const name = key.slice(key.lastIndexOf("/") + 1);
  if (!PART.test(name) || name.length > LONGEST)
    throw new CommandError(
      "USAGE",
      `'${key}' is not a label key; expected [prefix/]name of letters, digits, '-', '_' and '.'`,
    );
  if (value && (!PART.test(value) || value.length > LONGEST))
    throw new CommandError(
      "USAGE",
      `'${value}' is not a label value; expected at most ${LONGEST} letters, digits, '-', '_' and '.'`,
    );
  return { key, value };
}
