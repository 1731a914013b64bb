select id, name from raw.people
