-- Which model is live in each policy line, since when, and by which evaluation.
SELECT line, model_id, cycle, live_since, judge, win_rate, win_rate_low, win_rate_high, prompts,
       refused_since
FROM live_models
ORDER BY line;
