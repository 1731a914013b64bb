-- elt:
--   checks: [{sql: 'select * from marts.sales s where s.id not in (select p.id from "in".people p)'}]
select id from "in".orders
