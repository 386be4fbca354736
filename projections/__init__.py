"""The read side. Whoever imports it has the database engine write no memory that it used before."""

import os

# DuckDB writes whole blocks, and what no value covers of one holds what its memory held before: also values erased since.
# Its allocator reads this once, when the engine is loaded, so it stands before every import of it.
os.environ.setdefault("DUCKDB_JE_MALLOC_CONF", "zero:true")
