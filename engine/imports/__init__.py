"""Reading lead lists: bytes → text → rows → leads. Pure: no database, no HTTP; storing them is the import job's.

Open a file with `open_csv` (bytes) or `open_text`, look at it with `preview`, read it with `rows_to_leads`, which gives
a LeadRow or a RowError per row. A source is read once: open the file again after a preview.
"""

from engine.imports.decode import CsvError
from engine.imports.mapping import MappingError, suggest_mapping
from engine.imports.preview import Preview, preview
from engine.imports.rows import LeadRow, rows_to_leads
from engine.imports.source import CsvSource, RowError, SourceRow, open_csv, open_text

__all__ = [
    "CsvError",
    "CsvSource",
    "LeadRow",
    "MappingError",
    "Preview",
    "RowError",
    "SourceRow",
    "open_csv",
    "open_text",
    "preview",
    "rows_to_leads",
    "suggest_mapping",
]
