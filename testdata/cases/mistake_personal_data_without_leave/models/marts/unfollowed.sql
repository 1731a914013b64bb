select id, plan from raw.people union all select * from (select id, plan from raw.people) t
