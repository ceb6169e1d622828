"""Readings of a `watch`, written to files and logs as the training goes: each step once."""

from gradtx.writers.columns import CsvWriter, ParquetWriter
from gradtx.writers.each import CallableWriter, TensorBoardWriter
from gradtx.writers.writer import LostReadingsWarning, Writer

__all__ = ["CallableWriter", "CsvWriter", "LostReadingsWarning", "ParquetWriter", "TensorBoardWriter", "Writer"]
