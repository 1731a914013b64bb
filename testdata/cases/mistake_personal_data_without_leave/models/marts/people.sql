with labelled as (select id, contact, plan, 'Dear ' || name as label from staging.people)
select id, contact, label, plan, 1 as letters from labelled
