-- What the human has heard of the agent's turn that has not settled: {"text", "began_ms", "ended_ms"}, as `unsettled` is of theirs.
alter table streams add column heard jsonb;
