/** `calctl simulate` on files: what is asked, and in which form it is answered. */

import { Reach } from "../../../policy/flows/reach.ts";
import type { Context } from "../../context.ts";
import { loadPolicyState } from "../../documents/policy-documents.ts";
import { loadProbes } from "../../documents/probes.ts";
import { CommandError } from "../../errors.ts";
import type { FileOptions } from "../../options.ts";
import { type Answer, answerProbes, unmetText } from "./answers.ts";
import { answersTable, writeAnswers } from "./answers-output.ts";
import { flowAnswers } from "./flow-answers.ts";
import { flowMatrix } from "./flow-matrix.ts";
import { FlowPlan } from "./flows.ts";
import { EndNames } from "./names.ts";
import { RuleSources } from "./rule-sources.ts";

interface SimulateOptions extends FileOptions {
  readonly probes?: string;
  readonly output?: string;
  readonly allPorts?: true;
}

/** @throws CommandError, InvalidDocuments; FAILED where a probe does not find what it expects */
export async function simulate(context: Context, options: SimulateOptions): Promise<void> {
  const { probes: probeFile, output = probeFile === undefined ? "matrix" : "table" } = options;
  if (probeFile === "-" && options.filename?.includes("-"))
    throw new CommandError("USAGE", "stdin can be the resources or the probes, not both");
  const loaded = await loadPolicyState(context, options);
  const reach = new Reach(loaded.state);
  const sources = new RuleSources(loaded, loaded.documents);
  if (probeFile !== undefined && output === "matrix")
    throw new CommandError("USAGE", "a matrix is of all endpoints; -o table or -o json answers --probes");
  if (probeFile !== undefined) {
    const answers = answerProbes(await loadProbes(context, probeFile), new EndNames(loaded), reach, sources);
    print(context, answers, output);
    const unmet = unmetText(answers);
    if (unmet !== undefined) throw new CommandError("FAILED", unmet);
    return;
  }
  if (loaded.state.endpoints.length === 0)
    throw new CommandError(
      "INVALID_INPUT",
      "there is no pod or workload endpoint in the files, so there are no flows",
    );
  const plan = new FlowPlan(reach, { allPorts: options.allPorts ?? false });
  if (output === "matrix") context.stdout.write(flowMatrix(plan, reach));
  else print(context, flowAnswers(plan, sources), output);
}

function print(context: Context, answers: Iterable<Answer>, output: string): void {
  if (output === "json") writeAnswers(context.stdout, answers);
  else context.stdout.write(answersTable([...answers]));
}
