select id, customer, cast(ordered_at as date) as order_date from "in".orders
