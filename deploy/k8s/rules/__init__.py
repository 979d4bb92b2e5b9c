"""Recording rules: `python -m deploy.k8s.rules` wraps the plain ones for prometheus-operator."""
