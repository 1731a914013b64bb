-- elt:
--   checks: [{expression: "orders < 0"}]
select orders from marts.daily
