"""Programs that stand in for the world outside Waybill: gateway, carrier, mail, warehouse.

Each is a pure core that is told the time (a simulator drives it in-process) behind an HTTP shell.
"""
