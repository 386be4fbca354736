"""Reading a dump: a province's file, in whatever form it came, as columns of text with exact line numbers.

`open_dump` finds out the format and the encoding, reads the column names, and hands the rows out in chunks.
Nothing is normalised or typed here: a cell is the text of the file, an empty cell is null. A row that cannot
be read exactly is rejected alone, with its line and the reason; a file that cannot be read at all is refused.
"""

from connectors.dumps.layout import DumpUnreadable, Layout
from connectors.dumps.reading import Chunk, Dump, RowRejection, open_dump

__all__ = ["Chunk", "Dump", "DumpUnreadable", "Layout", "RowRejection", "open_dump"]
