/** What rendering needs to know besides the model. */

import type { IpVersion } from "../../../net/ip.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { MarkBits } from "../marks.ts";
import type { Layer } from "./names.ts";

export interface RenderContext {
  readonly version: IpVersion;
  readonly config: FelixConfig;
  readonly marks: MarkBits;
  /** Only `filter` can reject, and `raw` sees every packet of what is not tracked. */
  readonly layer: Layer;
}
