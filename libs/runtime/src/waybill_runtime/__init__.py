"""How Waybill stores, sends, consumes, projects, times and serves: ports, shells, adapters."""
