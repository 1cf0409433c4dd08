from storage import database, readiness


def test_migrated_database_is_ready(engine):
    assert readiness.failures() == {}


def test_database_without_its_tables_is_not_ready(tmp_path):
    opened = database.connect(f"sqlite:///{tmp_path}/new.db")

    failures = readiness.failures()

    assert failures.keys() == {"migrations"}
    opened.close_all()


def test_database_that_cannot_be_opened_is_not_ready(tmp_path):
    database.connect(f"sqlite:///{tmp_path}/no/such/folder/new.db")

    assert readiness.failures() == {"database": "does not answer"}
