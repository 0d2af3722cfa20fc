-- Prompts on which stages fail, and those that stages leave out for it.

CREATE OR REPLACE VIEW quarantined AS
SELECT stage, prompt_id, judge_version, failures, reason, created_at AS since
FROM quarantines
QUALIFY row_number() OVER (
    PARTITION BY stage, prompt_id, judge_version ORDER BY number DESC
) = 1 AND NOT is_lifted;
COMMENT ON VIEW quarantined IS
    'Prompts that a stage leaves out, because it failed on them in service.quarantine_after runs: '
    'SELECT * FROM quarantined ORDER BY since DESC. `solon quarantine --lift` lifts it.';
COMMENT ON COLUMN quarantined.failures IS 'Runs in a row in which the stage failed on the prompt.';
COMMENT ON COLUMN quarantined.reason IS 'Reason of the last failure.';
COMMENT ON COLUMN quarantined.since IS 'Time of the decision, UTC.';

CREATE OR REPLACE VIEW failing_prompts AS
WITH tried AS (
    SELECT stage, subject_id AS prompt_id, '' AS judge_version, attempt, reason, created_at
    FROM failures WHERE subject_id IN (SELECT id FROM prompts)
    UNION ALL
    SELECT 'judge', prompt_id, judge_version, attempt, reason, created_at
    FROM judgements WHERE outcome = 'unavailable'
), done AS (
    SELECT 'sample' AS stage, prompt_id, '' AS judge_version, run_id, created_at FROM candidates
    UNION ALL SELECT 'revise', prompt_id, '', run_id, created_at FROM revisions
    UNION ALL SELECT 'judge', prompt_id, judge_version, run_id, created_at
    FROM judgements WHERE outcome <> 'unavailable'
), failed AS (
    SELECT stage, prompt_id, judge_version, attempt, arg_max(reason, created_at) AS reason,
           max(created_at) AS moment
    FROM tried
    WHERE coalesce(reason, '') NOT LIKE '%not sent: %'
        AND coalesce(reason, '') NOT LIKE '%the budget of %'
    GROUP BY ALL
), worked AS (
    SELECT stage, judge_version, run_id, count(DISTINCT prompt_id) AS prompts FROM done GROUP BY ALL
), outages AS (
    SELECT failed.stage, failed.judge_version, attempt
    FROM failed LEFT JOIN worked ON worked.stage = failed.stage
        AND worked.judge_version = failed.judge_version AND worked.run_id = attempt
    GROUP BY ALL
    HAVING count(DISTINCT failed.prompt_id) > greatest(20, coalesce(max(worked.prompts), 0))
), passed AS (
    SELECT done.stage, done.prompt_id, done.judge_version, max(done.created_at) AS moment
    FROM done ANTI JOIN failed ON failed.stage = done.stage AND failed.prompt_id = done.prompt_id
        AND failed.judge_version = done.judge_version AND failed.attempt = done.run_id
    GROUP BY ALL
    UNION ALL
    SELECT stage, prompt_id, judge_version, max(created_at) FROM quarantines WHERE is_lifted
    GROUP BY ALL
), last_passed AS (
    SELECT stage, prompt_id, judge_version, max(moment) AS moment FROM passed GROUP BY ALL
)
SELECT failed.stage, failed.prompt_id, failed.judge_version, count(*) AS failures,
       arg_max(failed.reason, failed.moment) AS reason, max(failed.moment) AS last_at
FROM failed
ANTI JOIN outages ON outages.stage = failed.stage
    AND outages.judge_version = failed.judge_version AND outages.attempt = failed.attempt
LEFT JOIN last_passed ON last_passed.stage = failed.stage
    AND last_passed.prompt_id = failed.prompt_id
    AND last_passed.judge_version = failed.judge_version
WHERE last_passed.moment IS NULL OR failed.moment > last_passed.moment
GROUP BY failed.stage, failed.prompt_id, failed.judge_version;
COMMENT ON VIEW failing_prompts IS
    'Prompts on which a stage has failed since it last worked on them: SELECT * FROM '
    'failing_prompts ORDER BY failures DESC. Requests that were not sent do not count, nor do runs '
    'in which more than 20 prompts, and more than succeeded, failed: then it was the server.';
COMMENT ON COLUMN failing_prompts.judge_version IS
    'The judge that failed; empty in other stages than judge.';
COMMENT ON COLUMN failing_prompts.failures IS 'Runs in which the stage failed on the prompt.';
COMMENT ON COLUMN failing_prompts.reason IS 'Reason of the last failure.';
COMMENT ON COLUMN failing_prompts.last_at IS 'Time of the last failure, UTC.';
