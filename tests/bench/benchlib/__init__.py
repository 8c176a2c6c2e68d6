# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks share."""
