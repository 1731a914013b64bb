-- elt:
--   materialized: table
--   checks: [{unique: id}]
select p.id, p.name, cast(coalesce(sum(o.amount), 0) as decimal(12, 2)) as spent
from shop.people p left join shop.orders o on o.person_id = p.id
group by p.id, p.name
