"""How newleaf runs: settings, the application, its middlewares, the command line."""
