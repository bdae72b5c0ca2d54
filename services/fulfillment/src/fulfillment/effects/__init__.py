"""What fulfillment does outside: buys labels, follows parcels, ships while a warehouse waits."""
