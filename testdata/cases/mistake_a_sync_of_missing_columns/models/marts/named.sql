select id, 1 as customer_id, cast(2 as bigint) as amount from "in".things
