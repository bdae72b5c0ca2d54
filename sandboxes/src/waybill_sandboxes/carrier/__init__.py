"""A parcel carrier: labels bought, parcels moved, callbacks told."""
