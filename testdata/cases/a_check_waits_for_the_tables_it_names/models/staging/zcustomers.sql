select id from "in".people
