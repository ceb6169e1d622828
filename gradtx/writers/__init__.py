"""Writers for the readings of a `watch`: to files and logs during the training, each measured step once."""

from gradtx.writers.loggers import CallableWriter, TensorBoardWriter
from gradtx.writers.tables import CsvWriter, ParquetWriter
from gradtx.writers.writer import LostReadingsWarning, Writer

__all__ = ["CallableWriter", "CsvWriter", "LostReadingsWarning", "ParquetWriter", "TensorBoardWriter", "Writer"]
