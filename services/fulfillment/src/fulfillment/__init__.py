"""fulfillment: what each location ships, the warehouse handshake, and the parcels."""
