"""Cut addresses in segments: rows that are older than a few days keep the network of an address, a /24 or a /48."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from church.lib.network.addresses import cut_address
from church.telemetry_store.segments import SegmentInfo, read_segments, write_segment
from church.telemetry_store.tables import TABLES

COLUMN = "ip"
TABLES_WITH_ADDRESSES = tuple(name for name, table in TABLES.items() if COLUMN in table.names)


def find_uncut(segments: Iterable[SegmentInfo], before: int) -> list[SegmentInfo]:
    """The segments that may have a whole address in a row before ``before`` (microseconds)."""
    return [
        segment
        for segment in segments
        if segment.table in TABLES_WITH_ADDRESSES and not segment.is_cut and segment.first < before
    ]


def cut_addresses(connection: Any, table: str, source: Path, before: int, target: Path) -> SegmentInfo:
    """Write the rows of the segment ``source`` to the new file ``target``, with networks in those before ``before``.

    Raises what ``write_segment`` raises.
    """
    rows = read_segments([source])
    query = f"SELECT DISTINCT {COLUMN} FROM {rows} WHERE {COLUMN} IS NOT NULL AND ts < ?"  # noqa: S608 - names of ours
    found = [address for (address,) in connection.execute(query, [before]).fetchall()]
    networks = [str(cut_address(address) or address) for address in found]
    connection.execute("CREATE OR REPLACE TEMP TABLE cut_addresses (whole VARCHAR, network VARCHAR)")
    connection.execute("INSERT INTO cut_addresses SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", [found, networks])
    return write_segment(connection, table, _CUT.format(rows=rows, column=COLUMN, before=int(before)), target)


_CUT = """(
    SELECT taken.* REPLACE (CASE WHEN ts < {before} THEN coalesce(network, {column}) ELSE {column} END AS {column})
    FROM {rows} AS taken LEFT JOIN cut_addresses ON {column} = whole
)"""
