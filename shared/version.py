"""The version that every service reports: images hold files, not an installed distribution.

Between releases it is the next one's, `.dev0` (PEP 440): newer than what is out, older than what will be.
"""

VERSION = "0.3.0.dev0"
