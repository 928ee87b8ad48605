from governance.admin import clients, policies, recipients, register, users

__all__ = ["clients", "policies", "recipients", "register", "users"]
