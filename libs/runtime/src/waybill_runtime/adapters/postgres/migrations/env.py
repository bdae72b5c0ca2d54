"""How alembic runs our history: on the connection and transaction that `migrate` hands over."""

from alembic import context

from waybill_runtime.adapters.postgres import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
