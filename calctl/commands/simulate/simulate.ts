/** `calctl simulate` on one state, of files or live: what is asked, and in which form it is answered. */

import { Reach } from "../../../policy/flows/reach.ts";
import { type DocumentState, stateOfResources } from "../../../policy/state.ts";
import type { Context } from "../../context.ts";
import { loadPolicyDocuments } from "../../documents/policy-documents.ts";
import { loadProbes } from "../../documents/probes.ts";
import { CommandError } from "../../errors.ts";
import type { DatastoreOptions, FileOptions } from "../../options.ts";
import { answerProbes, unmetText } from "./answers.ts";
import { type Format, writeAnswers, writeFlows } from "./answers-output.ts";
import { flowAnswers } from "./flow-answers.ts";
import { flowMatrix } from "./flow-matrix.ts";
import { FlowPlan } from "./flows.ts";
import { EndNames } from "./names.ts";
import { probeMatrix } from "./probe-matrix.ts";
import { RuleSources } from "./rule-sources.ts";

export interface SimulateOptions extends FileOptions, DatastoreOptions {
  readonly probes?: string;
  readonly output?: "matrix" | Format;
  readonly allPorts?: true;
  readonly staged?: true;
}

/** @throws CommandError, InvalidDocuments; FAILED where a probe does not find what it expects */
export async function simulate(context: Context, options: SimulateOptions): Promise<void> {
  const { probes: probeFile, output = probeFile === undefined ? "matrix" : "table" } = options;
  if (probeFile === "-" && options.filename?.includes("-"))
    throw new CommandError("USAGE", "stdin can be the resources or the probes, not both");
  const { state, sources } = options.filename
    ? await filesState(context, options)
    : await liveState(context, options);
  const reach = new Reach(state.state, { staged: options.staged ?? false });
  if (probeFile !== undefined) {
    const answers = answerProbes(await loadProbes(context, probeFile), new EndNames(state), reach, sources);
    if (output === "matrix") context.stdout.write(probeMatrix(answers));
    else writeAnswers(context.stdout, answers, output);
    const unmet = unmetText(answers);
    if (unmet !== undefined) throw new CommandError("FAILED", unmet);
    return;
  }
  if (state.state.endpoints.length === 0)
    throw new CommandError("INVALID_INPUT", "there is no pod or workload endpoint, so there are no flows");
  const plan = new FlowPlan(reach, { allPorts: options.allPorts ?? false });
  if (output === "matrix") context.stdout.write(flowMatrix(plan, reach));
  else writeFlows(context.stdout, flowAnswers(plan, sources), output);
}

interface Sourced {
  readonly state: DocumentState;
  readonly sources: RuleSources;
}

async function filesState(context: Context, options: FileOptions): Promise<Sourced> {
  const loaded = await loadPolicyDocuments(context, options);
  const state = stateOfResources(loaded);
  return { state, sources: new RuleSources(state, { documents: loaded.documents }) };
}

async function liveState(context: Context, options: DatastoreOptions): Promise<Sourced> {
  const { withConnection } = await import("../../session.ts");
  const { stateIn } = await import("./live.ts");
  const state = await withConnection(context, options, ({ datastore }) => stateIn(context, datastore));
  return { state, sources: new RuleSources(state, { live: true }) };
}
