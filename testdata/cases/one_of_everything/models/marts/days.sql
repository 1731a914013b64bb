-- elt:
--   materialized: incremental
--   time: day
--   key: day
--   checks: [{expression: revenue >= 0}]
select cast(updated_at as date) as day, cast(sum(amount) as decimal(12, 2)) as revenue
from shop.orders
group by cast(updated_at as date)
