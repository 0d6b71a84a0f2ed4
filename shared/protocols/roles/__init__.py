"""The roles of a protocol: small abstract classes that a protocol's folder implements.

A role is imported when it is first asked for (`shared/protocols/base.py`), so a service loads only what it
uses. All are stateless and pure: bytes and texts in, values out.
"""
