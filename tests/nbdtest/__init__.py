# SPDX-License-Identifier: BSD-3-Clause
"""What the peers and interop tests share: processes, upstreams, the proxy, raw peers."""
