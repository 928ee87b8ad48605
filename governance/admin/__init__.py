from governance.admin import clients, policies, recipients, register

__all__ = ["clients", "policies", "recipients", "register"]
