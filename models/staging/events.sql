-- elt:
--   description: Web events with the customer where one was signed in.
--   materialized: view
select event_id, customer_id, name, path, device, occurred_at, cast(occurred_at as date) as event_date
from web.events
