"""What Waybill says: envelope, catalogue, schemas, upcasters. pydantic and nothing else."""
