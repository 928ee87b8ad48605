from audit.models.entries import AuditEntry

__all__ = ["AuditEntry"]
