"""A shop's old invoices, played as orders through the public APIs."""
