"""The facts: models and the queries over them, none of which can be asked without a tenant."""
