"""The API as one would write it by hand for speed: Starlette, sqlite3 or psycopg, msgspec, jsonschema-rs."""
