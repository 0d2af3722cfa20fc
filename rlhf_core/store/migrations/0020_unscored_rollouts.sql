-- An answer on which a judge in the reward has no opinion has no score, and teaches nothing.

ALTER TABLE rollouts ALTER COLUMN score DROP NOT NULL;
COMMENT ON COLUMN rollouts.score IS
    'Its reward before the KL penalty, in the unit of the reward; at most missing_eos_score, and the '
    'lowest of the finished answers to its prompt, where it did not end. Null where a judge in the '
    'reward has no opinion: nothing is learnt from it.';
