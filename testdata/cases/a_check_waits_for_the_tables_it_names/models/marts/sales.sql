-- elt:
--   checks:
--     - {relationships: {column: customer, to: staging.zcustomers.id}}
--     - {sql: 'select s.id from marts.sales s where exists (select 1 from staging.zcustomers c where c.id = s.customer and c.id = 9)'}
--     - {expression: "id in (select id from \"in\".orders)"}
select id, customer from "in".orders
