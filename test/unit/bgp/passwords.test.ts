import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentPasswords, filePasswords, firstPassword } from "../../../bgp/passwords.ts";

describe("bgp/passwords", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "calyx-bgp-"));
    mkdirSync(join(directory, "bgp-secrets"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const secret = { name: "bgp-secrets", key: "rr.password" };
  const write = (text: string, mode: number) => {
    rmSync(join(directory, secret.name, secret.key), { force: true });
    writeFileSync(join(directory, secret.name, secret.key), text, { mode });
  };

  it("are files, by the name of the secret and the key; the end of the line is not part of them", () => {
    write("open sesame\n", 0o600);
    assert.deepEqual(filePasswords(directory)(secret), { password: "open sesame" });
  });

  it("that everybody may read are used, and reported", () => {
    write("open sesame", 0o644);
    const { password, problem } = filePasswords(directory)(secret);
    assert.equal(password, "open sesame");
    assert.match(problem ?? "", /can be read by every user/);
  });

  it("that are empty or not there are none, and the reason is given", () => {
    write("\n", 0o600);
    assert.match(filePasswords(directory)(secret).problem ?? "", /is empty/);
    assert.match(
      filePasswords(directory)({ ...secret, key: "no" }).problem ?? "",
      /is not readable \(ENOENT\)/,
    );
    assert.equal(filePasswords(directory)({ ...secret, key: "no" }).password, undefined);
  });

  it("are variables of the environment", () => {
    const source = environmentPasswords({ CALYX_BGP_PASSWORD_BGP_SECRETS_RR_PASSWORD: "open sesame" });
    assert.deepEqual(source(secret), { password: "open sesame" });
    assert.deepEqual(source({ ...secret, key: "other" }), {
      problem: "CALYX_BGP_PASSWORD_BGP_SECRETS_OTHER is not set",
    });
  });

  it("are looked for in one place after the other", () => {
    const source = firstPassword(
      filePasswords(directory),
      environmentPasswords({ CALYX_BGP_PASSWORD_A_B: "two" }),
    );
    write("one", 0o600);
    assert.equal(source(secret).password, "one");
    assert.deepEqual(source({ name: "a", key: "b" }), { password: "two" });
    assert.match(
      source({ name: "a", key: "c" }).problem ?? "",
      /ENOENT\); CALYX_BGP_PASSWORD_A_C is not set/,
    );
  });
});
