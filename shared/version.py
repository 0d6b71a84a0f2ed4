"""The version that every service reports: images hold files, not an installed distribution."""

VERSION = "0.2.0"
