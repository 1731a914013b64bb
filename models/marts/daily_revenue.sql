-- elt:
--   description: Paid revenue per day and country, in EUR.
--   materialized: incremental
--   time: order_date              # a run replaces whole days
--   lookback: 3d
--   key: [order_date, country]
--   checks: [{expression: revenue_eur >= 0}]
select o.order_date, c.country, count(*) as orders, cast(sum(o.amount_eur) as decimal(14, 2)) as revenue_eur
from staging.orders o
join staging.customers c on c.customer_id = o.customer_id
where o.status = 'paid'
  and o.order_date >= /* @window_start */ date '2026-03-01'
  and o.order_date <  /* @window_end */   date '2026-04-01'
group by o.order_date, c.country
