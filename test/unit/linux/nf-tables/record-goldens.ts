/** Writes goldens.txt anew with the nft that is installed: `sudo .tools/node test/unit/linux/nf-tables/record-goldens.ts`. */

import { writeFileSync } from "node:fs";
import { createNamespace, deleteNamespace } from "../../../../linux/namespace.ts";
import { formatGoldens, GOLDEN_FILE, recordGoldens } from "./goldens.ts";

const namespace = `cx-goldens-${process.pid}`;
createNamespace(namespace);
try {
  const goldens = recordGoldens(namespace);
  writeFileSync(GOLDEN_FILE, formatGoldens(goldens));
  process.stdout.write(`${Object.keys(goldens.messages).length} commands in ${GOLDEN_FILE}\n`);
} finally {
  deleteNamespace(namespace);
}
