-- What an answer's reward was made of, since it can be more than the reward model's score.
ALTER TABLE rollouts ADD COLUMN parts VARCHAR;
COMMENT ON COLUMN rollouts.parts IS 'JSON object: the score of the reward model and of each judge in the reward, before weights; a part without an opinion is left out. Null before Solon kept it.';
