-- Questions that people ask every week: which prompts are never answered well, and what it all cost.

CREATE VIEW prompt_best_scores AS
SELECT said.prompt_id, prompts.mode, prompts.split, said.judge, said.judge_version,
       count(DISTINCT said.candidate_id) AS answers, max(said.score) AS best_score,
       avg(said.score) AS mean_score, arg_max(said.candidate_id, said.score) AS best_candidate_id,
       prompts.text AS prompt
FROM opinions AS said
JOIN prompts ON prompts.id = said.prompt_id
WHERE said.outcome = 'scored' AND said.judge <> 'proxy'
GROUP BY said.prompt_id, prompts.mode, prompts.split, said.judge, said.judge_version, prompts.text;
COMMENT ON VIEW prompt_best_scores IS
    'The best score that each judge gave to any answer to each prompt, of any model and cycle: SELECT prompt, '
    'best_score FROM prompt_best_scores WHERE judge = ''similarity'' AND best_score < 0.5 ORDER BY best_score';
COMMENT ON COLUMN prompt_best_scores.answers IS 'Answers that the judge scored.';
COMMENT ON COLUMN prompt_best_scores.best_score IS '0 to 1, in the judge''s own measure.';

CREATE VIEW costs_by_week AS
WITH spent AS (
    SELECT created_at, 'sampling' AS what, model_id AS who, prompt_tokens, completion_tokens, cost_usd
    FROM candidates
    UNION ALL
    SELECT created_at, 'judging', judge, prompt_tokens, completion_tokens, cost_usd FROM judgements
    UNION ALL
    SELECT created_at, 'rewarding', judge, prompt_tokens, completion_tokens, cost_usd
    FROM rollout_verdicts
    UNION ALL
    SELECT created_at, 'revising', model, 0, 0, cost_usd FROM revisions
)
SELECT date_trunc('week', created_at)::DATE AS week, what, who, count(*) AS calls,
       sum(prompt_tokens)::BIGINT AS prompt_tokens,
       sum(completion_tokens)::BIGINT AS completion_tokens, sum(cost_usd) AS cost_usd
FROM spent GROUP BY ALL;
COMMENT ON VIEW costs_by_week IS
    'What models and judges took, week by week: SELECT week, sum(cost_usd) FROM costs_by_week GROUP BY week '
    'ORDER BY week. Benches of judges are not in it; judge_benchmarks has what they cost.';
COMMENT ON COLUMN costs_by_week.week IS 'Its Monday.';
COMMENT ON COLUMN costs_by_week.what IS
    'sampling of candidates, judging of them, rewarding (judges in the reward while a policy trains), revising.';
COMMENT ON COLUMN costs_by_week.who IS 'The model that answered or revised, or the judge''s name.';
COMMENT ON COLUMN costs_by_week.calls IS 'Answers, judgements, verdicts or revisions added.';
COMMENT ON COLUMN costs_by_week.prompt_tokens IS 'Read; 0 of revisions, whose tokens are not kept.';
