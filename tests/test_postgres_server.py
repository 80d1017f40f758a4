"""The private PostgreSQL server of the test run."""

from __future__ import annotations

import pytest
import sqlalchemy


@pytest.mark.postgres
def test_each_test_gets_an_empty_database_of_a_real_server(postgres_url: str) -> None:
    engine = sqlalchemy.create_engine(postgres_url, poolclass=sqlalchemy.NullPool)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select version()")).scalar_one().startswith("PostgreSQL")
