select id, email from raw.people
