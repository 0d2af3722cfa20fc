-- Judges that abstain, and models that decline, on more than a fifth of what they could answer.
-- Filter: WHERE who = 'model'
SELECT who, name, version, asked, share
FROM over_abstaining
ORDER BY share DESC, who, name, version;
