"""exabgp, able to send an UPDATE byte for byte: a route that carries attribute 0xfe is replaced by what the attribute holds,
one or more bodies, each behind two bytes of length. Sent once: a new session does not get it again, or a malformed one would never
live. Everything else is exabgp's own."""

import runpy
import sys

from exabgp.bgp.message.update import Update

RAW = 0xFE
packed = Update.messages
sent = set()


def messages(self, negotiated, include_withdraw=True):
    raw = self.attributes.get(RAW)
    if raw is None:
        yield from packed(self, negotiated, include_withdraw)
        return
    carriers = {nlri.pack(negotiated) for nlri in self.nlris}
    if carriers <= sent:
        return
    sent.update(carriers)
    left = raw.data
    while left:
        end = 2 + int.from_bytes(left[:2], "big")
        yield self._message(left[2:end])
        left = left[end:]


Update.messages = messages
sys.argv[0] = "exabgp"
runpy.run_path("/usr/sbin/exabgp", run_name="__main__")
