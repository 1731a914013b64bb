-- elt:
--   description: Customers with their lifetime value and the risk that they leave.
--   materialized: table
--   key: customer_id
--   checks:
--     - {unique: customer_id}
--     - {accepted_values: {column: churn_risk, values: [low, medium, high]}}
--     - {range: {column: lifetime_value_eur, min: 0}}
with bought as (
  select customer_id, count(*) as orders, sum(amount_eur) as spent, max(order_date) as last_order
  from staging.orders
  where status = 'paid'
  group by customer_id
)
select c.customer_id, c.name, c.email, c.country, c.plan,
       coalesce(b.orders, 0) as orders,
       cast(coalesce(b.spent, 0) as decimal(12, 2)) as lifetime_value_eur,
       b.last_order,
       case
         when b.last_order is null or /* @run_date */ date '2026-03-31' - b.last_order > 45 then 'high'
         when /* @run_date */ date '2026-03-31' - b.last_order > 21 then 'medium'
         else 'low'
       end as churn_risk
from staging.customers c
left join bought b on b.customer_id = c.customer_id
