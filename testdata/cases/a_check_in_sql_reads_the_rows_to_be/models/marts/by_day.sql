-- elt:
--   materialized: incremental
--   time: day
--   checks:
--     - {sql: "select * from marts.by_day d where d.n = -7; -- never"}
select date '2026-03-09' as day, id, n from "in".things
