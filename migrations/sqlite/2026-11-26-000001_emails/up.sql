-- Since when an identity has been its account's, by a proof: who was there before may undo what came after (rule 13).

ALTER TABLE identities ADD COLUMN owned_since INTEGER;
UPDATE identities SET owned_since = (
    SELECT min(proven_at) FROM proofs
    WHERE proofs.identity_id = identities.id AND proofs.account_id = identities.account_id
);
