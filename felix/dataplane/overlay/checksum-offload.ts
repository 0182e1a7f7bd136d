/**
 * Kernels before 5.8 send packets with wrong UDP checksums through VXLAN when the device is to compute them: there, the kernel
 * does it (calico.md 3.6). `featureDetectOverride: ChecksumOffloadBroken=true` (or `=false`) says so where the version lies.
 */

export function isChecksumOffloadBroken(override: string, kernelRelease: string): boolean {
  for (const item of override.split(",")) {
    const [, value] = /^\s*ChecksumOffloadBroken\s*=\s*(true|false)\s*$/i.exec(item) ?? [];
    if (value !== undefined) return value.toLowerCase() === "true";
  }
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  return Number(major) < 5 || (Number(major) === 5 && Number(minor) < 8);
}
