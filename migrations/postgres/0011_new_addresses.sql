-- The address, folded, that a token of a change of address is sent to, if it is the new one: e-mails of that
-- kind to an address are limited, whoever asks for them.
ALTER TABLE one_time_tokens ADD COLUMN address TEXT COLLATE "C";
CREATE INDEX one_time_tokens_sent_to ON one_time_tokens (address, created_at) WHERE address IS NOT NULL;
