-- How far utilities can differ; imports under the rules of ingest; users hashed by a key.

-- Of K candidates a utility is the mean of K margins, its own of 0 among them: at most (K - 1) / K.
-- Imported pairs say their margin themselves, up to 2.
CREATE OR REPLACE VIEW check_margins AS
SELECT 'margin' AS what, id, coalesce(margin::VARCHAR, 'none') || ' of a pair ' || outcome AS detail
FROM pairs
WHERE NOT coalesce(margin BETWEEN 0 AND 2, outcome = 'unscored' OR len(judgement_ids) = 0)
UNION ALL
SELECT 'margin', wide.id, wide.margin || ' in a ranking of ' || len(rankings.candidate_ids)
FROM (SELECT id, ranking_id, margin FROM pairs WHERE margin > 1 + 1e-9 AND margin <= 2) AS wide
JOIN rankings ON rankings.id = wide.ranking_id
WHERE rankings.recipe NOT LIKE 'external-%'
    AND wide.margin > 2 - 2.0 / len(rankings.candidate_ids) + 1e-9
UNION ALL
SELECT 'agreement', id, agreement::VARCHAR FROM pairs
WHERE NOT coalesce(agreement BETWEEN 0 AND 1, true);
COMMENT ON VIEW check_margins IS
    'error: A margin is missing, or outside 0 to 2 - 2/K in a ranking of K (0 to 2 of imported '
    'pairs), or an agreement is not a share. Losses with a margin would be wrong; find out which '
    'code version wrote it.';

COMMENT ON COLUMN pairs.margin IS
    'Difference of their utilities; null where unscored. 0 to 2 - 2/K in a ranking of K: to 1 of two, '
    'to 4/3 of three, where one wins and one loses against all; to 1 where every judge scored all of '
    'them. 0 to 2 of imported pairs.';

COMMENT ON TABLE privacy_findings IS
    'Personal data found in the texts of a source of prompts, or of an import, never the text.';
COMMENT ON COLUMN privacy_findings.prompt_set_id IS
    'The version of the data it was found in: a row of prompt_sets, or of imports.';
COMMENT ON COLUMN privacy_findings.source IS
    'Where the prompts were read, as in the config; the name of an import.';
COMMENT ON COLUMN privacy_findings.prompt_id IS
    'Of prompts; of an import, the prompt of the rows it was found in. Null for what was dropped, '
    'which one row a kind sums up.';
COMMENT ON COLUMN privacy_findings.spans IS
    'How many places in the prompt, its context and references; of an import, in all its rows about '
    'the prompt, answers and other columns included.';
COMMENT ON COLUMN privacy_findings.prompts IS
    'How many prompts the row is about; of what an import dropped, how many of its rows.';
COMMENT ON VIEW privacy_summary IS
    'Personal data by source, or import, and kind: SELECT * FROM privacy_summary ORDER BY spans DESC.';
COMMENT ON COLUMN privacy_summary.prompt_set_id IS 'As in privacy_findings.';
COMMENT ON TABLE prompt_removals IS
    'Prompts of a source, or of an import, that hygiene left out, once a version of the data.';
COMMENT ON COLUMN prompt_removals.prompt_set_id IS
    'The version of the data it was left out of: a row of prompt_sets, or of imports.';

COMMENT ON COLUMN imports.judge_version IS
    'The judge to whom the file''s labels are written: external- and a hash of source and rows, and of '
    'the prompts that hygiene left out.';
COMMENT ON COLUMN imports.rows IS 'Different rows that are kept.';
COMMENT ON COLUMN imports.left_out IS
    'Rows that are not kept: equal answers or scores, said before, exported by this store itself, with '
    'personal data (policy drop), of repeated prompts, of prompts that a user had deleted.';
COMMENT ON COLUMN imported_rows.subject_table IS
    'Where what it became lies: pairs, rankings, prompts (sft) or judgements (kto: the label; pairs are '
    'made of labels of one prompt that differ).';
COMMENT ON COLUMN imported_rows.columns IS
    'JSON: every other column of the row, such as the pair and the judges it came from; personal data '
    'in it is treated as in the words.';

COMMENT ON COLUMN deletions.user_hash IS
    'Hash of the user id by a key, after the key''s name and a dash: who has the key can look up an id, '
    'nobody can read it back. Without a dash it was made without a key, by an earlier version.';
