"""Rows of models that were read without a session."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm.exc import UnmappedInstanceError

from church.database.plain_rows import build_rows, columns_of
from church.extensions import db
from church.models import Grant, User
from tests.support.people import add_user


def test_row_has_the_values_of_its_columns_and_an_outer_join_none(app: Flask) -> None:
    ada = add_user(app)
    query = select(*columns_of(User), *columns_of(Grant)).select_from(User)
    with app.app_context(), db.read_connection() as connection:
        found = connection.execute(query.outerjoin(Grant, Grant.user_id == User.id)).one()
    user, grant = build_rows(found, User, Grant)
    assert grant is None
    assert isinstance(user, User)
    names = [column.key for column in columns_of(User)]
    assert [getattr(user, name) for name in names] == [getattr(ada, name) for name in names]
    assert user.active


def test_row_is_taken_by_no_session(app: Flask) -> None:
    add_user(app)
    with app.app_context():
        with db.read_connection() as connection:
            (user,) = build_rows(connection.execute(select(*columns_of(User))).one(), User)
        with pytest.raises(UnmappedInstanceError), db.write() as session:
            session.add(user)
