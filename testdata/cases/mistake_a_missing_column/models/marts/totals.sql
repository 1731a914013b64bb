-- elt:
--   description: The amount of each country.
select country,
       sum(amount_eu) as amount_eur
from "in".things
group by country
