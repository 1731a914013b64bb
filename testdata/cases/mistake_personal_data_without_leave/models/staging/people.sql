select id, lower(email) as contact, name, plan from raw.people
