"""HTTP and the commands that serve it: routes, parameters, limits, settings."""
