-- Transcripts are forgotten by age.

create index transcripts_age on fleet.transcripts (ended_at);
