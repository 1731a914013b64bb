-- elt:
--   checks:
--     - {sql: "select * from mart.totals"}
--     - {expression: "id >"}
select id from "in".things
