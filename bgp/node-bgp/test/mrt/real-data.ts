/** Real routes: in $BGP_DATA, or in shared/data beside the repository (its README.md says what they are). Never in the repository. */

import { join } from "node:path";

const FOLDER = process.env["BGP_DATA"] ?? join(import.meta.dirname, "../../../../../shared/data");

/** TABLE_DUMP, a full table. */
export const TABLE = join(FOLDER, "bview.20020722.2337.gz");
export const TABLE_ENTRIES = 115_521;
export const TABLE_PREFIXES = 112_988;

/** BGP4MP_ET of one session: the first transfer of a full table and the changes after it. */
export const UPDATES = join(FOLDER, "updates.et-header.2015.gz");
export const UPDATE_MESSAGES = 89_679;
export const UPDATE_PREFIXES = 577_699;
