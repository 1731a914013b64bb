-- elt:
--   materialized: incremental
--   time: day
--   checks: [{unique: day}]
select cast(ordered_at as date) as day, count(*) as orders, sum(amount) as total
from "in".orders group by 1
