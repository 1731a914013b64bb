-- elt:
--   materialized: view
--   checks:
--     - {sql: "select * from marts.seen where n = -7"}
select id, n from "in".things
