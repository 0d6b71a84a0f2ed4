"""Tests of what is deployed: images, compose file, Kubernetes manifests, rules and dashboards."""
