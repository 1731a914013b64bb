-- elt:
--   materialized: incremental
--   time: order_date
--   lookback: 3d
select o.order_date, count(*) as orders, count(distinct c.since) as cohorts
from staging.orders o left join "in".customers c on c.id = o.customer
group by 1
