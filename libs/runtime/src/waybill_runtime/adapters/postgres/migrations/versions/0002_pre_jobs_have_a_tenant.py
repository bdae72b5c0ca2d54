"""Jobs, and what is parked, have a tenant.

A constant default rewrites no row, and an earlier release, which names no tenant, goes on writing
while this one starts: what it writes is of the one tenant that it knows.
"""

from alembic import op

revision = "0002_pre_jobs_have_a_tenant"
down_revision = "0001_pre_the_store"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("jobs", "parked"):
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN tenant text COLLATE \"C\" NOT NULL DEFAULT 'default'"
        )
