"""The helper library behind the workbook's notebooks.

Importing it is cheap on purpose: torch and friends are loaded by the submodule that needs them.
"""

__version__ = "0.1.0"
