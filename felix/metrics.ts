/** Felix's metrics under the names Calico's dashboards know (calico.md G.2). */

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { type Flow, reasonText } from "./flows/flow.ts";

const SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export class FelixMetrics {
  readonly #calcSeconds: Histogram;
  readonly #applySeconds: Histogram;
  readonly #failures: Counter;
  readonly #cut: Counter;
  readonly #flowPackets: Counter;
  readonly #flowPacketsLost: Counter;
  readonly #gauges: {
    readonly endpoints: Gauge;
    readonly policies: Gauge;
    readonly sets: Gauge;
    readonly cluster: Gauge;
  };

  constructor(registry: Registry) {
    const registers = [registry];
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    this.#calcSeconds = new Histogram({
      name: "felix_calc_graph_update_time_seconds",
      help: "Seconds to update the calculation graph for one batch of datastore updates.",
      buckets: SECONDS,
      registers,
    });
    this.#applySeconds = new Histogram({
      name: "felix_int_dataplane_apply_time_seconds",
      help: "Seconds of one pass over the dataplane.",
      buckets: SECONDS,
      registers,
    });
    this.#failures = new Counter({
      name: "felix_int_dataplane_failures",
      help: "Passes over the dataplane that failed and are tried again.",
      registers,
    });
    this.#cut = new Counter({
      name: "calyx_felix_flows_cut",
      help: "Established connections that were ended because policy came to deny them.",
      registers,
    });
    this.#flowPackets = new Counter({
      name: "calyx_felix_policy_packets_total",
      help: "New connections that were allowed and packets that were denied, by what decided; while flows are logged.",
      labelNames: ["policy", "direction", "verdict"],
      registers,
    });
    this.#flowPacketsLost = new Counter({
      name: "calyx_felix_flow_log_lost_packets_total",
      help: "Logged packets that the flow log did not see, because there were too many.",
      registers,
    });
    this.#gauges = {
      endpoints: gauge("felix_active_local_endpoints", "Workload endpoints on this host."),
      policies: gauge("felix_active_local_policies", "Policies that apply to an endpoint on this host."),
      sets: gauge("felix_active_local_selectors", "Address sets in use on this host."),
      cluster: gauge(
        "calyx_felix_set_items",
        "Endpoints and network sets in the cluster that may be in address sets.",
      ),
    };
  }

  calculated(milliseconds: number): void {
    this.#calcSeconds.observe(milliseconds / 1000);
  }

  holds(sizes: {
    readonly localEndpoints: number;
    readonly activePolicies: number;
    readonly sets: number;
    readonly setItems: number;
  }): void {
    this.#gauges.endpoints.set(sizes.localEndpoints);
    this.#gauges.policies.set(sizes.activePolicies);
    this.#gauges.sets.set(sizes.sets);
    this.#gauges.cluster.set(sizes.setItems);
  }

  cut(flows: number): void {
    this.#cut.inc(flows);
  }

  applied(pass: { readonly milliseconds: number; readonly ok: boolean }): void {
    this.#applySeconds.observe(pass.milliseconds / 1000);
    if (!pass.ok) this.#failures.inc();
  }

  flow({ decidedBy, direction, verdict, packets }: Flow): void {
    this.#flowPackets.inc({ policy: reasonText(decidedBy), direction, verdict }, packets);
  }

  /** A policy that is no more is not shown for ever. */
  policyGone(policy: string): void {
    for (const direction of ["ingress", "egress"]) {
      for (const verdict of ["allow", "deny"]) this.#flowPackets.remove({ policy, direction, verdict });
    }
  }

  flowPacketsLost(packets: number): void {
    this.#flowPacketsLost.inc(packets);
  }
}
