"""Grafana's dashboards: `python -m deploy.k8s.dashboards` writes them as JSON."""
