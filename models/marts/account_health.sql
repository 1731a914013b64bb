-- elt:
--   description: What a customer did of late, on the site and in orders, as one score of 0 to 100.
--   materialized: table
--   checks: [{unique: customer_id}, {range: {column: score, min: 0, max: 100}}]
with visits as (
  select customer_id, count(*) as events, max(event_date) as last_seen
  from staging.events
  where customer_id is not null and event_date > /* @run_date */ date '2026-03-31' - 30
  group by customer_id
)
select c.customer_id, c.plan, c.churn_risk, coalesce(v.events, 0) as events_30d, v.last_seen,
       least(100, 10 * least(coalesce(v.events, 0), 5)
         + case c.churn_risk when 'low' then 40 when 'medium' then 20 else 0 end
         + case c.plan when 'pro' then 10 when 'basic' then 5 else 0 end) as score
from marts.customers c
left join visits v on v.customer_id = c.customer_id
