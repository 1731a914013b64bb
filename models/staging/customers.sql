-- elt:
--   description: One row per customer as last exported, the e-mail address in lower case.
--   materialized: view
--   checks: [{unique: customer_id}, {not_null: [customer_id, email]}]
select id as customer_id, name, lower(email) as email, country, plan, created_at, updated_at
from shop.customers
