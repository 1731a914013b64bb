-- elt:
--   checks: [{range: {column: spent, min: 0}, severity: warn}]
select id, lower(email) as mail, spent from raw.people
