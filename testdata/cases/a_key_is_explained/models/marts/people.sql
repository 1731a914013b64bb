select id, name, email from raw.people
