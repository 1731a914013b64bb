-- elt:
--   description: One row per order, dated by the shop's own calendar.
--   materialized: view
--   checks:
--     - {unique: order_id}
--     - {relationships: {column: customer_id, to: staging.customers.customer_id}}
--     - {accepted_values: {column: status, values: [paid, pending, cancelled]}}
select o.id as order_id, o.customer_id, o.sku, p.category, o.quantity,
       o.amount as amount_eur, o.status, o.ordered_at, cast(o.ordered_at as date) as order_date
from shop.orders o
left join catalog.products p on p.sku = o.sku
