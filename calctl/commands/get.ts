import { type Command, Option } from "commander";
import type { BGPConfiguration } from "../../crd-schemas/index.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import type { Connection } from "../connection.ts";
import type { Context } from "../context.ts";
import { errorText } from "../error-text.ts";
import { CommandError } from "../errors.ts";
import { isNamespaced, resolveKind, resolveName } from "../kinds.ts";
import {
  config,
  type DatastoreOptions,
  examples,
  type FileOptions,
  filename,
  type NamespaceOptions,
  namespace,
  newCommand,
  output,
  recursive,
  skipEmpty,
} from "../options.ts";
import { noResources } from "../outcome.ts";
import type { Row } from "../output/columns.ts";
import { parseFormat } from "../output/format.ts";
import { type ResultGroup, render } from "../output/render.ts";
import { withConnection } from "../session.ts";

type Options = FileOptions &
  NamespaceOptions &
  DatastoreOptions & {
    readonly output: string;
    readonly allNamespaces?: true;
    readonly a?: true;
    readonly export?: true;
  };

const DEFAULT_AS_NUMBER = 64512;

export function getCommand(context: Context): Command {
  const command = newCommand("get", "Show resources: all of a kind, those named, or those that files name.")
    .usage("[options] (KIND [NAME...] | -f FILE)")
    .argument("[kind]", "a kind, its plural or an alias, such as policy, gnp, ippool, node")
    .argument("[name...]", "names; all of the kind without any")
    .addOption(
      output(
        "ps",
        "ps, wide, yaml, json, custom-columns=COLUMN,…, go-template=TEMPLATE or go-template-file=FILE",
      ),
    )
    .option("-A, --all-namespaces", "of all namespaces")
    .addOption(new Option("-a", "the same as -A").hideHelp())
    .option("--export", "leave out what only this cluster means: uid, resourceVersion, times")
    .addOption(filename())
    .addOption(recursive())
    .addOption(skipEmpty())
    .addOption(namespace())
    .addOption(config())
    .action((kind: string | undefined, names: string[], options: Options) =>
      get(context, kind, names, options),
    );
  return examples(command, [
    ["All policies of the namespace default.", "calctl get policy"],
    ["All policies there are, with order and selector.", "calctl get policy -A -o wide"],
    ["Two pools, as YAML that can be applied elsewhere.", "calctl get ippool pool1 pool2 -o yaml --export"],
    ["Columns of your choice.", "calctl get ippool -o custom-columns=NAME,CIDR,NAT"],
    [
      "Text of your choice.",
      "calctl get bgppeer -o go-template='{{range .}}{{range .Items}}{{.Name}} {{.Spec.PeerIP}}{{\"\\n\"}}{{end}}{{end}}'",
    ],
  ]);
}

/** What is asked for: names of a kind, or all of it. */
interface Request {
  readonly kind: ResourceKind;
  readonly namespace?: string | undefined;
  readonly names?: readonly string[];
}

async function get(
  context: Context,
  kindWord: string | undefined,
  names: string[],
  options: Options,
): Promise<void> {
  const allNamespaces = options.allNamespaces ?? options.a ?? false;
  if (allNamespaces && options.namespace !== undefined)
    throw new CommandError("USAGE", "--all-namespaces and --namespace exclude each other");
  const format = await parseFormat(options.output, context.cwd);
  const requests = await requestsOf(context, kindWord, names, options, allNamespaces);
  if (requests.length === 0) {
    noResources(context);
    return;
  }
  await withConnection(context, options, async connection => {
    const groups: ResultGroup[] = [];
    const failures: string[] = [];
    for (const request of requests) {
      const group = await resultOf(connection, request, failures);
      if (group.list || group.items.length > 0) groups.push(group);
    }
    const needsAsNumber = format.type === "wide" || format.type === "custom-columns";
    const asNumber =
      needsAsNumber && groups.some(group => group.kind === "Node")
        ? await clusterAsNumber(connection)
        : DEFAULT_AS_NUMBER;
    if (groups.length > 0)
      context.stdout.write(
        await render(format, groups, {
          export: options.export ?? false,
          showNamespace: allNamespaces || options.namespace !== undefined,
          defaults: { asNumber },
        }),
      );
    if (failures.length > 0) throw new CommandError("FAILED", failures.join("\n"));
  });
}

async function requestsOf(
  context: Context,
  kindWord: string | undefined,
  names: readonly string[],
  options: Options,
  allNamespaces: boolean,
): Promise<Request[]> {
  if (options.filename) {
    if (kindWord !== undefined) throw new CommandError("USAGE", "give a kind or a file, not both");
    const { loadIdentities } = await import("../documents/identities.ts");
    const identities = await loadIdentities(context, options);
    return identities.map(({ kind, name, namespace }) => ({ kind, namespace, names: [name] }));
  }
  if (kindWord === undefined)
    throw new CommandError("USAGE", "give a kind, such as 'calctl get policy', or a file with -f");
  const kind = resolveKind(kindWord);
  const namespace = isNamespaced(kind) && !allNamespaces ? (options.namespace ?? "default") : undefined;
  if (names.length > 0 && (namespace !== undefined || !isNamespaced(kind)))
    return [{ kind, namespace, names }];
  if (names.length > 0) throw new CommandError("USAGE", "--all-namespaces lists; it takes no names");
  return [{ kind, namespace }];
}

async function resultOf({ client }: Connection, request: Request, failures: string[]): Promise<ResultGroup> {
  const { kind, namespace, names } = request;
  if (names === undefined) {
    const { items, resourceVersion } = await client.list(kind, namespace === undefined ? {} : { namespace });
    return { kind, items: items as Row[], list: { resourceVersion } };
  }
  const items: Row[] = [];
  for (const name of names) {
    const found = await client.get(kind, resolveName(kind, name), namespace).catch(error => {
      if (!isNotFound(error)) throw error;
      failures.push(errorText(error));
      return undefined;
    });
    if (found) items.push(found as Row);
  }
  return { kind, items };
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "NOT_FOUND";
}

async function clusterAsNumber({ client }: Connection): Promise<number> {
  const configuration = await client.get("BGPConfiguration", "default").catch(error => {
    if (!isNotFound(error)) throw error;
    return undefined;
  });
  return Number((configuration as BGPConfiguration | undefined)?.spec.asNumber ?? DEFAULT_AS_NUMBER);
}
