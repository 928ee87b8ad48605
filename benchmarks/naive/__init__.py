"""The peer: the same question answered with plain Django REST framework and the ORM, as a team would write it first.

Honest, ordinary code on the same tables. It even starts from our projected `ConsentState` rows, so it need not
fold the ledger, and it leaves out what our answer carries beside outcome and codes (evidence, values of duties,
remedies, limits of rate, per-call overrides of the campaign).
"""
