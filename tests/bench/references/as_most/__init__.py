"""The API as most would write it: FastAPI, SQLAlchemy, Pydantic."""
