/** The steps of the demo, as a table: what is done, what must be seen, what was seen, how long it took. */

export interface Check {
  readonly what: string;
  readonly expected: string;
  /** What is there now. Asked again until it is as expected or time is up, since networks take a moment. */
  readonly observe: () => Promise<string> | string;
  /** Milliseconds. */
  readonly within?: number;
}

export interface CheckResult {
  readonly step: string;
  readonly what: string;
  readonly expected: string;
  readonly observed: string;
  readonly ok: boolean;
  readonly ms: number;
}

const DEFAULT_WITHIN_MS = 5000;

export class Steps {
  readonly results: CheckResult[] = [];
  readonly #write: (line: string) => void;
  #step = "";
  #count = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Begins a step. */
  begin(title: string): void {
    this.#step = String(++this.#count);
    this.#write(`\n${this.#step}. ${title}`);
  }

  /** Says what a user would type for what happens next. */
  show(command: string): void {
    this.#write(`     $ ${command}`);
  }

  async check(check: Check): Promise<boolean> {
    const begun = performance.now();
    const deadline = begun + (check.within ?? DEFAULT_WITHIN_MS);
    let observed = "";
    for (;;) {
      try {
        observed = await check.observe();
      } catch (error) {
        observed = `error: ${(error as Error).message}`;
      }
      if (observed === check.expected || performance.now() >= deadline) break;
      await new Promise(resolve => setTimeout(resolve, 25));
    }
    const result: CheckResult = {
      step: this.#step,
      what: check.what,
      expected: check.expected,
      observed,
      ok: observed === check.expected,
      ms: Math.round(performance.now() - begun),
    };
    this.results.push(result);
    this.#write(row(result));
    return result.ok;
  }

  get failed(): CheckResult[] {
    return this.results.filter(result => !result.ok);
  }

  static readonly head = row({ what: "", expected: "expected", observed: "observed", ms: "ms", mark: "" });
}

function row(cells: {
  what: string;
  expected: string;
  observed: string;
  ms: number | string;
  ok?: boolean;
  mark?: string;
}): string {
  const mark = cells.mark ?? (cells.ok ? "ok" : "FAILED");
  return `   ${cells.what.padEnd(54)} ${cells.expected.padEnd(22)} ${cells.observed.padEnd(22)} ${String(cells.ms).padStart(6)}  ${mark}`.trimEnd();
}
