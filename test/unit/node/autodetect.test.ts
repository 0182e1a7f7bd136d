import assert from "node:assert/strict";
import { parseInterfaceAddress } from "../../../net/cidr.ts";
import { type Ip, type IpVersion, ip } from "../../../net/ip.ts";
import { chooseAddress, findConflicts } from "../../../node/addresses.ts";
import { detectAddress, type HostInterface, parseDetectionMethod } from "../../../node/autodetect.ts";

function nic(name: string, ...addresses: string[]): HostInterface {
  return { name, up: true, addresses: addresses.map(text => parseInterfaceAddress(text)!) };
}

const HOST = [
  nic("lo", "127.0.0.1/8", "::1/128"),
  nic("docker0", "172.17.0.1/16"),
  nic("br-0123", "172.18.0.1/16"),
  nic("cali1234", "169.254.1.1/32"),
  nic("kube-ipvs0", "10.96.0.1/32"),
  { ...nic("eth9", "10.9.0.1/24"), up: false },
  nic("eth0", "169.254.7.7/16", "10.0.0.5/24", "fe80::1/64", "2001:db8::5/64"),
  nic("eth1", "192.168.1.5/24"),
  nic("ens7", "10.7.0.5/24"),
];

async function detect(method: string, version: IpVersion = 4, host = HOST): Promise<string> {
  const found = await detectAddress(version, parseDetectionMethod(method, "M"), host, {
    reach: async destination => (destination === "gateway" ? ip("192.168.1.5") : undefined),
    kubernetesInternalIps: async () => [ip("2001:db8::5"), ip("10.7.0.5")],
  });
  return found ? `${found.interface} ${found.address.ip}/${found.address.prefixLength}` : "none";
}

describe("address autodetection", () => {
  it("first-found takes the first global address of an interface that is the host's own and up", async () => {
    assert.equal(await detect("first-found"), "eth0 10.0.0.5/24");
    assert.equal(await detect(""), "eth0 10.0.0.5/24");
    assert.equal(await detect("first-found", 6), "eth0 2001:db8::5/64");
  });

  it("first-found passes over all that container software makes", async () => {
    const names = ["docker0", "cbr0", "dummy0", "podman1", "virbr0", "lxcbr0", "veth1", "lo", "br-1", "cali1"]
      .concat(["tunl0", "flannel.1", "kube-ipvs0", "cni0", "vxlan.calico", "vxlan-v6.calico"])
      .concat(["wireguard.cali", "wg-v6.cali", "nodelocaldns"]);
    assert.equal(
      await detect(
        "first-found",
        4,
        names.map(name => nic(name, "10.1.1.1/24")),
      ),
      "none",
    );
    assert.equal(await detect("first-found", 4, [nic("loft0", "10.1.1.1/24")]), "loft0 10.1.1.1/24");
  });

  it("interface takes what is asked for, in the order it is asked for", async () => {
    assert.equal(await detect("interface=eth1"), "eth1 192.168.1.5/24");
    assert.equal(await detect("interface=wlan.*,ens.*,eth.*"), "ens7 10.7.0.5/24");
    assert.equal(await detect("interface=docker0"), "docker0 172.17.0.1/16");
    assert.equal(await detect("interface=eth9"), "none", "it is down");
  });

  it("skip-interface leaves out those, and what first-found leaves out", async () => {
    assert.equal(await detect("skip-interface=eth.*"), "ens7 10.7.0.5/24");
  });

  it("cidr takes an address in any of the ranges", async () => {
    assert.equal(await detect("cidr=192.168.0.0/16,10.7.0.0/16"), "eth1 192.168.1.5/24");
    assert.equal(await detect("cidr=2001:db8::/32", 6), "eth0 2001:db8::5/64");
    assert.equal(await detect("cidr=11.0.0.0/8"), "none");
  });

  it("can-reach takes the address the kernel would send from", async () => {
    assert.equal(await detect("can-reach=gateway"), "eth1 192.168.1.5/24");
    assert.equal(await detect("can-reach=nowhere"), "none");
  });

  it("kubernetes-internal-ip takes what Kubernetes says, of the family", async () => {
    assert.equal(await detect("kubernetes-internal-ip"), "ens7 10.7.0.5/24");
    assert.equal(await detect("kubernetes-internal-ip", 6), "eth0 2001:db8::5/64");
  });

  it("refuses methods that mean nothing, by the variable's name", () => {
    for (const text of ["first", "can-reach=", "interface=(", "interface=a,,b", "cidr=10.0.0.0/8,x"]) {
      assert.throws(() => parseDetectionMethod(text, "IP_AUTODETECTION_METHOD"), {
        code: "INVALID_ENVIRONMENT",
        message: /^IP_AUTODETECTION_METHOD: "/,
      });
    }
  });
});

describe("the choice of the node's address", () => {
  const question = {
    version: 4 as IpVersion,
    detection: parseDetectionMethod("", ""),
    stored: undefined,
    interfaces: HOST,
    surroundings: {},
  };
  const literal = (text: string) => ({
    kind: "literal" as const,
    address: parseInterfaceAddress(text)!,
    bare: !text.includes("/"),
  });

  it("takes the subnet of the interface where the operator gave none", async () => {
    const { address, warnings } = await chooseAddress({ ...question, setting: literal("192.168.1.5") });
    assert.deepEqual([address, warnings], [{ ip: "192.168.1.5", prefixLength: 24 }, []]);
  });

  it("takes the operator's word, and warns where the host has no such address", async () => {
    const { address, warnings } = await chooseAddress({ ...question, setting: literal("10.0.0.77/16") });
    assert.equal(address!.prefixLength, 16);
    assert.match(warnings[0]!, /10\.0\.0\.77/);
  });

  it("keeps what is stored, unless told to detect again", async () => {
    const stored = parseInterfaceAddress("10.7.0.5/24")!;
    assert.deepEqual(
      (await chooseAddress({ ...question, stored, setting: { kind: "unset" } })).address,
      stored,
    );
    const again = await chooseAddress({ ...question, stored, setting: { kind: "autodetect" } });
    assert.equal(again.address!.ip, "10.0.0.5");
    const none = await chooseAddress({ ...question, stored, setting: { kind: "none" } });
    assert.equal(none.address, undefined);
  });

  it("looks for IPv4 by itself, and for IPv6 only when asked to", async () => {
    assert.equal((await chooseAddress({ ...question, setting: { kind: "unset" } })).address!.ip, "10.0.0.5");
    const six = { ...question, version: 6 as IpVersion };
    assert.equal((await chooseAddress({ ...six, setting: { kind: "unset" } })).address, undefined);
    const nothing = {
      ...six,
      interfaces: [nic("eth0", "10.0.0.1/24")],
      setting: { kind: "autodetect" as const },
    };
    await assert.rejects(chooseAddress(nothing), { code: "NO_ADDRESS", message: /IP6_AUTODETECTION_METHOD/ });
  });
});

describe("address conflicts", () => {
  const own = [parseInterfaceAddress("10.0.0.5/24")!];
  const other = (name: string, text: string) => ({ name, addresses: [parseInterfaceAddress(text)!] });

  it("are another node with our address", () => {
    const { errors } = findConflicts(own, [other("n1", "10.0.0.6/24"), other("n2", "10.0.0.5/32")]);
    assert.equal(errors.length, 1);
    assert.equal(errors[0]!.code, "ADDRESS_IN_USE");
    assert.deepEqual(errors[0]!.data, { ip: "10.0.0.5" as Ip, node: "n2" });
  });

  it("are, as a warning, subnets that overlap and are not the same", () => {
    const { errors, warnings } = findConflicts(own, [other("n1", "10.0.0.6/16"), other("n2", "10.0.1.6/24")]);
    assert.deepEqual([errors.length, warnings.length], [0, 1]);
    assert.match(warnings[0]!, /n1/);
  });
});
