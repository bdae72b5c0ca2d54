"""What tests of the command share."""
