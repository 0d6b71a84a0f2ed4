"""Makes the store fixtures known to all tests."""

pytest_plugins = ["tests.support.stores", "tests.support.seaweedfs", "tests.support.minio"]
