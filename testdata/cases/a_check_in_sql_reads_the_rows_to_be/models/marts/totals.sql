-- elt:
--   checks:
--     - {sql: "select totals.id, totals.n from marts.totals where marts.totals.n < 0"}
--     - {sql: "with totals as (select * from marts.totals) select * from totals t where t.n < -1", severity: warn}
--     - {relationships: {column: parent, to: marts.totals.id}}
--     - {expression: "n <= (select max(id) * 100 from marts.totals)"}
select id, n, 1 as parent from "in".things
