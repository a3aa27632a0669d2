"""Block addresses and networks: their requests are refused before anything else, on all hosts.

The rows of the database are what counts. Each host keeps a copy in its instance folder (``host_copy``), which its web
processes watch, so that a block holds while the database does not answer (``church.web.blocks``).
"""

from church.services.blocks import cleanup  # noqa: F401 - registers its job
from church.services.blocks.host_copy import ActiveBlocks, copy_file, keep_copy, leave_out, read_copy
from church.services.blocks.networks import MAX_REASON_LENGTH, MAX_TIME, Own
from church.services.blocks.rows import (
    BlockView,
    UnknownBlockError,
    block_network,
    count_active,
    find_revision,
    lift_block,
    list_active,
    list_all,
    load_active,
)

__all__ = [
    "MAX_REASON_LENGTH",
    "MAX_TIME",
    "ActiveBlocks",
    "BlockView",
    "Own",
    "UnknownBlockError",
    "block_network",
    "copy_file",
    "count_active",
    "find_revision",
    "keep_copy",
    "leave_out",
    "lift_block",
    "list_active",
    "list_all",
    "load_active",
    "read_copy",
]
