select id from "in".things
