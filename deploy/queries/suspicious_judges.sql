-- Which judges to look at, and why: constant, flipping, slow, costly, unparsed.
-- Filter: WHERE judge = 'pairwise'; SELECT * FROM judge_health has all judges
SELECT judge, judge_version, reasons, opinions, unparsed_share, chose_first, flipped_share,
       median_latency_seconds, mean_cost_usd
FROM suspicious_judges
ORDER BY len(reasons) DESC, judge, judge_version;
