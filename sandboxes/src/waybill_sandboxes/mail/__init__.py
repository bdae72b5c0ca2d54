"""A sink for e-mail, SMS and chat: keeps all, delivers nothing."""
