"""All architectures of the export matrix, and which exporters each is given to."""

import matrix_families
import matrix_wide

ARCHITECTURES = matrix_families.ARCHITECTURES | matrix_wide.ARCHITECTURES


def takes(arch, exporter):
    """Whether the matrix holds this pair."""
    return arch in matrix_families.ARCHITECTURES or exporter in matrix_wide.WIDE
